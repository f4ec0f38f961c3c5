-- Standing alarms of these zones, for comparing with what the rules say.
SELECT condition, active
FROM alarm
WHERE zone = ANY(%s) AND closed_at IS NULL
