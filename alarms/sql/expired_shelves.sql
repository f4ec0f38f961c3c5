-- Alarms of these zones whose shelf has ended.
SELECT id
FROM alarm
WHERE closed_at IS NULL AND shelved_until <= %(now)s AND zone = ANY(%(zones)s)
ORDER BY id
LIMIT 500
