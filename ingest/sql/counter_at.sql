-- A counter around each of some moments: the last sample that is not bad at or before it, and the first one after it.
SELECT e.edge, b.ts AS before_at, b.value AS before, b.quality AS before_quality,
       a.ts AS after_at, a.value AS after, a.quality AS after_quality
FROM unnest(%(edges)s::timestamptz[]) WITH ORDINALITY AS e (edge, place)
LEFT JOIN LATERAL (
    SELECT ts, (ARRAY[v0, v1, v2, v3, v4, v5, v6, v7])[%(slot)s::integer + 1] AS value,
           (quality >> (%(slot)s::integer * 8) & 255)::integer AS quality
    FROM frame
    WHERE block_id = %(block)s AND ts <= e.edge AND ts > e.edge - %(reach)s::interval
        AND quality >> (%(slot)s::integer * 8) & 255 >= 128
    ORDER BY ts DESC
    LIMIT 1
) AS b ON true
LEFT JOIN LATERAL (
    SELECT ts, (ARRAY[v0, v1, v2, v3, v4, v5, v6, v7])[%(slot)s::integer + 1] AS value,
           (quality >> (%(slot)s::integer * 8) & 255)::integer AS quality
    FROM frame
    WHERE block_id = %(block)s AND ts > e.edge AND ts < e.edge + %(reach)s::interval
        AND quality >> (%(slot)s::integer * 8) & 255 >= 128
    ORDER BY ts
    LIMIT 1
) AS a ON true
ORDER BY e.place
