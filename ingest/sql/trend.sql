-- One point in equal buckets: envelope, mean and last of what is not bad; worst quality and count of all samples.
WITH sample AS (
    SELECT ts,
           (ARRAY[v0, v1, v2, v3, v4, v5, v6, v7])[%(slot)s::integer + 1] AS value,
           (quality >> (%(slot)s::integer * 8) & 255)::integer AS quality
    FROM frame
    WHERE block_id = %(block)s AND ts >= %(start)s AND ts < %(end)s
), usable AS (
    SELECT ts, quality, CASE WHEN quality >= 128 THEN value END AS value,
           floor(extract(epoch FROM ts - %(start)s) / %(step_s)s::numeric)::integer AS bucket
    FROM sample
    WHERE quality <> 0
)
SELECT bucket,
       min(value) AS minimum,
       max(value) AS maximum,
       avg(value) AS mean,
       (array_agg(value ORDER BY ts DESC) FILTER (WHERE value IS NOT NULL))[1] AS last,
       min(quality) AS quality_worst,
       count(*) AS count
FROM usable
GROUP BY bucket
ORDER BY bucket
