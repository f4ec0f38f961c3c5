-- For each condition of these zones its newest alarm, and when it was last decided about, as far back as it can matter.
SELECT DISTINCT ON (condition)
    condition, active AND closed_at IS NULL AS active, greatest(raised_at, returned_at) AS decided_at
FROM alarm
WHERE zone = ANY(%(zones)s) AND (closed_at IS NULL OR greatest(raised_at, returned_at) > %(since)s)
ORDER BY condition, id DESC
