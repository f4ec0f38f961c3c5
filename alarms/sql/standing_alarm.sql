-- The standing alarm of a condition, locked.
SELECT id, condition, rule, zone, station, point_id, incident_id, first_out, priority,
    active, acknowledged, shelved_until, raised_at, value, limit_value, closed_at
FROM alarm
WHERE condition = %s AND closed_at IS NULL
FOR UPDATE
