-- Frames and what ingest keeps about them. Written only by ingest/.

CREATE TABLE frame (
    block_id integer NOT NULL,
    ts timestamptz NOT NULL,
    v0 float8, v1 float8, v2 float8, v3 float8, v4 float8, v5 float8, v6 float8, v7 float8,
    quality bigint NOT NULL,
    PRIMARY KEY (block_id, ts)
) PARTITION BY RANGE (ts);
COMMENT ON COLUMN frame.quality IS 'eight quality bytes, slot 0 in the lowest';
