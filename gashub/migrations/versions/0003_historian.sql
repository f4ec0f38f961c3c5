-- Frames and what ingest keeps about them. Written only by ingest/.

CREATE TABLE frame (
    block_id integer NOT NULL,
    ts timestamptz NOT NULL,
    v0 float8, v1 float8, v2 float8, v3 float8, v4 float8, v5 float8, v6 float8, v7 float8,
    quality bigint NOT NULL,
    PRIMARY KEY (block_id, ts)
) PARTITION BY RANGE (ts);
COMMENT ON TABLE frame IS 'one scan of one device; a partition a day (UTC), named frame_YYYYMMDD, made by ingest.partitions';
COMMENT ON COLUMN frame.quality IS 'eight quality bytes, slot 0 in the lowest; a byte of 0: the slot was not sampled';

-- The plain shape, for people who write SQL.
CREATE VIEW reading AS
SELECT f.block_id * 8 + s.slot AS point_id,
       f.ts,
       s.value,
       (f.quality >> (8 * s.slot) & 255)::smallint AS quality
FROM frame f
CROSS JOIN LATERAL (VALUES (0, f.v0), (1, f.v1), (2, f.v2), (3, f.v3), (4, f.v4), (5, f.v5), (6, f.v6), (7, f.v7))
    AS s (slot, value)
WHERE f.quality >> (8 * s.slot) & 255 <> 0;

-- Of two samples of one slot, whether the new one stays: the higher quality (bit 5 turned, so that live goes before
-- historical; an empty slot is lowest), then the larger value. A total order, so that no order of arrival matters.
CREATE FUNCTION slot_wins(new_quality bigint, new_value float8, old_quality bigint, old_value float8) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN new_quality = 0 THEN false
        WHEN old_quality = 0 THEN true
        WHEN new_quality <> old_quality THEN new_quality # 32 > old_quality # 32
        ELSE coalesce(new_value > old_value, new_value IS NOT NULL AND old_value IS NULL)
    END
$$;

CREATE TABLE ingest_ledger (
    gateway text NOT NULL,
    boot text NOT NULL,
    lane smallint NOT NULL CHECK (lane IN (0, 1)),
    committed_seq bigint NOT NULL,
    ahead int8multirange NOT NULL,
    messages bigint NOT NULL,
    readings bigint NOT NULL,
    frames bigint NOT NULL,
    rejected bigint NOT NULL,
    frames_rejected bigint NOT NULL,
    duplicate bigint NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (gateway, boot, lane)
);
COMMENT ON TABLE ingest_ledger IS 'what became of each gateway''s messages, by boot and lane (0 live, 1 historical)';
COMMENT ON COLUMN ingest_ledger.committed_seq IS 'everything up to here is stored or rejected';
COMMENT ON COLUMN ingest_ledger.ahead IS 'settled beyond a gap';
COMMENT ON COLUMN ingest_ledger.messages IS 'messages settled, each counted once; rejected: those of which something was not taken';
COMMENT ON COLUMN ingest_ledger.duplicate IS 'messages that came again after they were settled';

CREATE TABLE dead_letter (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    received_at timestamptz NOT NULL,
    topic text NOT NULL,
    gateway text,
    fault text NOT NULL,
    detail text NOT NULL,
    frames integer NOT NULL,
    payload_bytes integer NOT NULL,
    payload bytea NOT NULL
);
COMMENT ON TABLE dead_letter IS 'input that was not taken; the newest few thousand';
COMMENT ON COLUMN dead_letter.payload IS 'the whole message, or its beginning where payload_bytes says that it was longer';

CREATE TABLE unknown_block (
    gateway text NOT NULL,
    block_id integer NOT NULL,
    first_seen timestamptz NOT NULL,
    last_seen timestamptz NOT NULL,
    frames bigint NOT NULL,
    PRIMARY KEY (gateway, block_id)
);
COMMENT ON TABLE unknown_block IS 'devices that send and are not enrolled';
