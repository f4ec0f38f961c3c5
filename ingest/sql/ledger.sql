-- The ledger, newest entries first, with what is missing below the highest number settled.
SELECT gateway, boot, lane, committed_seq,
       CASE WHEN isempty(ahead) THEN 0
            ELSE upper(ahead) - 1 - committed_seq - (SELECT sum(upper(part) - lower(part)) FROM unnest(ahead) AS part)
       END::bigint AS missing,
       messages, readings, frames, rejected, frames_rejected, duplicate, updated_at
FROM ingest_ledger
ORDER BY updated_at DESC, gateway, boot, lane
LIMIT %(limit)s
