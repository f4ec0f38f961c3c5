-- The last good or uncertain index of every meter at the beginning of a gas day; what is frozen already stays.
INSERT INTO daily_reading (meter, gas_day, index_m3_std, measured_at, quality, frozen_at)
SELECT m.id, %(gas_day)s, f.value, f.ts, f.quality, %(now)s
FROM meter m
CROSS JOIN LATERAL (
    SELECT s.ts, s.value, s.quality
    FROM (
        SELECT ts,
               (ARRAY[v0, v1, v2, v3, v4, v5, v6, v7])[m.volume_point_id %% 8 + 1] AS value,
               (quality >> (m.volume_point_id %% 8 * 8) & 255)::integer AS quality
        FROM frame
        WHERE block_id = m.volume_point_id / 8 AND ts <= %(begins)s AND ts > %(earliest)s
    ) s
    WHERE s.quality & 192 >= 128 AND s.value IS NOT NULL
    ORDER BY s.ts DESC
    LIMIT 1
) f
WHERE m.installed_at <= %(begins)s
  AND (m.removed_at IS NULL OR m.removed_at > %(begins)s)
ON CONFLICT (meter, gas_day) DO NOTHING
