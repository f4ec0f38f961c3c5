-- Alarms, the most urgent and newest first.
SELECT id, condition, rule, zone, station, point_id, incident_id, first_out, priority, active, acknowledged,
    shelved_until, shelved_by, shelved_reason, raised_at, returned_at, acknowledged_at, acknowledged_by, closed_at,
    value, limit_value, evidence
FROM alarm
WHERE (NOT %(standing_only)s OR closed_at IS NULL)
    AND (%(zone)s::text IS NULL OR zone = %(zone)s)
    AND (%(incident_id)s::bigint IS NULL OR incident_id = %(incident_id)s)
ORDER BY closed_at IS NOT NULL, array_position(ARRAY['emergency', 'high', 'medium', 'low'], priority), id DESC
LIMIT %(limit)s
