-- Live frames since a moment, in order of time.
SELECT block_id, (extract(epoch FROM ts) * 1000)::bigint, v0, v1, v2, v3, v4, v5, v6, v7, quality
FROM frame
WHERE ts >= %(since)s AND ts <= %(until)s
ORDER BY ts
LIMIT %(limit)s
