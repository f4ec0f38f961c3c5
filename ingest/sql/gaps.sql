-- Stretches of at least so many seconds without a frame of a block, the ends of the period counted as frames.
WITH seen AS (
    SELECT %(start)s::timestamptz AS ts
    UNION ALL
    SELECT ts FROM frame WHERE block_id = %(block)s AND ts >= %(start)s AND ts < %(end)s
    UNION ALL
    SELECT %(end)s::timestamptz
), step AS (
    SELECT ts AS start, lead(ts) OVER (ORDER BY ts) AS "end" FROM seen
)
SELECT start, "end" FROM step
WHERE "end" - start >= make_interval(secs => %(longer_than_s)s)
ORDER BY start
LIMIT %(limit)s
