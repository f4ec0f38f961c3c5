-- Settled numbers, and counts added, of the senders of one batch.
INSERT INTO ingest_ledger AS l (gateway, boot, lane, committed_seq, ahead, messages, readings, frames, rejected,
    frames_rejected, duplicate, updated_at)
SELECT s.gateway, s.boot, s.lane, s.committed_seq, s.ahead::int8multirange, s.messages, s.readings, s.frames,
    s.rejected, s.frames_rejected, s.duplicate, %(now)s
FROM unnest(%(gateway)s::text[], %(boot)s::text[], %(lane)s::smallint[], %(committed_seq)s::bigint[], %(ahead)s::text[],
    %(messages)s::bigint[], %(readings)s::bigint[], %(frames)s::bigint[], %(rejected)s::bigint[],
    %(frames_rejected)s::bigint[], %(duplicate)s::bigint[])
    AS s (gateway, boot, lane, committed_seq, ahead, messages, readings, frames, rejected, frames_rejected, duplicate)
ON CONFLICT (gateway, boot, lane) DO UPDATE SET
    committed_seq = greatest(l.committed_seq, excluded.committed_seq),
    ahead = excluded.ahead,
    messages = l.messages + excluded.messages,
    readings = l.readings + excluded.readings,
    frames = l.frames + excluded.frames,
    rejected = l.rejected + excluded.rejected,
    frames_rejected = l.frames_rejected + excluded.frames_rejected,
    duplicate = l.duplicate + excluded.duplicate,
    updated_at = excluded.updated_at
