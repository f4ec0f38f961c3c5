-- How many frames of each block there are, how many a scan class promises, and how many have a slot that is not bad
-- (bit 7 of any quality byte).
SELECT b.id AS block_id, b.device, b.name, b.scan_s,
       (extract(epoch FROM %(end)s::timestamptz - %(start)s::timestamptz) / b.scan_s)::float8 AS expected,
       count(f.ts) AS stored,
       count(f.ts) FILTER (WHERE f.quality & -9187201950435737472 <> 0) AS answered
FROM block b
JOIN device d ON d.id = b.device
LEFT JOIN frame f ON f.block_id = b.id AND f.ts >= %(start)s AND f.ts < %(end)s
WHERE d.retired_at IS NULL AND (%(device)s::text IS NULL OR b.device = %(device)s)
GROUP BY b.id
ORDER BY b.id
