-- The open incident among these groups, the earlier in the list the better; locked.
SELECT id, group_key, zone, kind, priority, emergency, opened_at, place, evidence
FROM incident
WHERE group_key = ANY(%(groups)s) AND closed_at IS NULL
ORDER BY array_position(%(groups)s::text[], group_key)
LIMIT 1
FOR UPDATE
