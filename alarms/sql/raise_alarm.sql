-- A new standing alarm; nothing if another worker was first.
INSERT INTO alarm (
    condition, rule, zone, station, point_id, incident_id, first_out, priority,
    active, acknowledged, raised_at, value, limit_value, evidence
)
VALUES (
    %(condition)s, %(rule)s, %(zone)s, %(station)s, %(point_id)s, %(incident)s,
    NOT EXISTS (SELECT FROM alarm WHERE incident_id = %(incident)s), %(priority)s,
    true, false, %(at)s, %(value)s, %(limit)s, %(evidence)s
)
ON CONFLICT (condition) WHERE closed_at IS NULL DO NOTHING
RETURNING id, condition, rule, zone, station, point_id, incident_id, first_out, priority,
    active, acknowledged, shelved_until, raised_at, value, limit_value, closed_at
