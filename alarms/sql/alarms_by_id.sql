-- Alarms by their numbers, locked, in order.
SELECT id, condition, rule, zone, station, point_id, incident_id, first_out, priority,
    active, acknowledged, shelved_until, raised_at, value, limit_value, closed_at
FROM alarm
WHERE id = ANY(%s)
ORDER BY id
FOR UPDATE
