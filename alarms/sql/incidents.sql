-- Incidents with the numbers of their alarms, newest first.
SELECT id, group_key, zone, kind, priority, emergency, opened_at, closed_at, place, evidence,
    ARRAY(SELECT alarm.id FROM alarm WHERE alarm.incident_id = incident.id ORDER BY alarm.id) AS alarm_ids
FROM incident
WHERE (NOT %(open_only)s OR closed_at IS NULL)
    AND (%(zone)s::text IS NULL OR zone = %(zone)s)
    AND (%(id)s::bigint IS NULL OR id = %(id)s)
ORDER BY id DESC
LIMIT %(limit)s
