-- The newest sample of each of some points, by one index descent per point; points never sampled are absent.
SELECT p.point_id, f.ts AS measured_at, f.value, f.quality
FROM unnest(%(points)s::integer[]) WITH ORDINALITY AS p (point_id, place)
CROSS JOIN LATERAL (
    SELECT ts,
           (ARRAY[v0, v1, v2, v3, v4, v5, v6, v7])[p.point_id %% 8 + 1] AS value,
           (quality >> (p.point_id %% 8 * 8) & 255)::integer AS quality
    FROM frame
    WHERE block_id = p.point_id / 8 AND quality >> (p.point_id %% 8 * 8) & 255 <> 0
    ORDER BY ts DESC
    LIMIT 1
) AS f
ORDER BY p.place
