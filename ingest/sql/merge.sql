-- Stored frames and staged ones joined slot by slot; a row that would not change is not touched.
-- The staged rows are unique by (block_id, ts) and sorted, so that two workers lock rows in the same order.
INSERT INTO frame AS f (block_id, ts, v0, v1, v2, v3, v4, v5, v6, v7, quality)
SELECT block_id, ts, v0, v1, v2, v3, v4, v5, v6, v7, quality FROM frame_stage ORDER BY block_id, ts
ON CONFLICT (block_id, ts) DO UPDATE SET
    v0 = CASE WHEN slot_wins(excluded.quality >> 0 & 255, excluded.v0, f.quality >> 0 & 255, f.v0) THEN excluded.v0 ELSE f.v0 END,
    v1 = CASE WHEN slot_wins(excluded.quality >> 8 & 255, excluded.v1, f.quality >> 8 & 255, f.v1) THEN excluded.v1 ELSE f.v1 END,
    v2 = CASE WHEN slot_wins(excluded.quality >> 16 & 255, excluded.v2, f.quality >> 16 & 255, f.v2) THEN excluded.v2 ELSE f.v2 END,
    v3 = CASE WHEN slot_wins(excluded.quality >> 24 & 255, excluded.v3, f.quality >> 24 & 255, f.v3) THEN excluded.v3 ELSE f.v3 END,
    v4 = CASE WHEN slot_wins(excluded.quality >> 32 & 255, excluded.v4, f.quality >> 32 & 255, f.v4) THEN excluded.v4 ELSE f.v4 END,
    v5 = CASE WHEN slot_wins(excluded.quality >> 40 & 255, excluded.v5, f.quality >> 40 & 255, f.v5) THEN excluded.v5 ELSE f.v5 END,
    v6 = CASE WHEN slot_wins(excluded.quality >> 48 & 255, excluded.v6, f.quality >> 48 & 255, f.v6) THEN excluded.v6 ELSE f.v6 END,
    v7 = CASE WHEN slot_wins(excluded.quality >> 56 & 255, excluded.v7, f.quality >> 56 & 255, f.v7) THEN excluded.v7 ELSE f.v7 END,
    quality =
        (CASE WHEN slot_wins(excluded.quality >> 0 & 255, excluded.v0, f.quality >> 0 & 255, f.v0)
            THEN excluded.quality ELSE f.quality END & 255)
        | (CASE WHEN slot_wins(excluded.quality >> 8 & 255, excluded.v1, f.quality >> 8 & 255, f.v1)
            THEN excluded.quality ELSE f.quality END & 65280)
        | (CASE WHEN slot_wins(excluded.quality >> 16 & 255, excluded.v2, f.quality >> 16 & 255, f.v2)
            THEN excluded.quality ELSE f.quality END & 16711680)
        | (CASE WHEN slot_wins(excluded.quality >> 24 & 255, excluded.v3, f.quality >> 24 & 255, f.v3)
            THEN excluded.quality ELSE f.quality END & 4278190080)
        | (CASE WHEN slot_wins(excluded.quality >> 32 & 255, excluded.v4, f.quality >> 32 & 255, f.v4)
            THEN excluded.quality ELSE f.quality END & 1095216660480)
        | (CASE WHEN slot_wins(excluded.quality >> 40 & 255, excluded.v5, f.quality >> 40 & 255, f.v5)
            THEN excluded.quality ELSE f.quality END & 280375465082880)
        | (CASE WHEN slot_wins(excluded.quality >> 48 & 255, excluded.v6, f.quality >> 48 & 255, f.v6)
            THEN excluded.quality ELSE f.quality END & 71776119061217280)
        | (CASE WHEN slot_wins(excluded.quality >> 56 & 255, excluded.v7, f.quality >> 56 & 255, f.v7)
            THEN excluded.quality ELSE f.quality END & (-72057594037927936))
WHERE slot_wins(excluded.quality >> 0 & 255, excluded.v0, f.quality >> 0 & 255, f.v0)
    OR slot_wins(excluded.quality >> 8 & 255, excluded.v1, f.quality >> 8 & 255, f.v1)
    OR slot_wins(excluded.quality >> 16 & 255, excluded.v2, f.quality >> 16 & 255, f.v2)
    OR slot_wins(excluded.quality >> 24 & 255, excluded.v3, f.quality >> 24 & 255, f.v3)
    OR slot_wins(excluded.quality >> 32 & 255, excluded.v4, f.quality >> 32 & 255, f.v4)
    OR slot_wins(excluded.quality >> 40 & 255, excluded.v5, f.quality >> 40 & 255, f.v5)
    OR slot_wins(excluded.quality >> 48 & 255, excluded.v6, f.quality >> 48 & 255, f.v6)
    OR slot_wins(excluded.quality >> 56 & 255, excluded.v7, f.quality >> 56 & 255, f.v7)
