-- Where frames wait for the merge when some of them are already stored; lives as long as the connection.
CREATE TEMPORARY TABLE IF NOT EXISTS frame_stage (
    block_id integer NOT NULL,
    ts timestamptz NOT NULL,
    v0 float8, v1 float8, v2 float8, v3 float8, v4 float8, v5 float8, v6 float8, v7 float8,
    quality bigint NOT NULL
) ON COMMIT DELETE ROWS
