-- What is settled of these senders.
SELECT l.gateway, l.boot, l.lane, l.committed_seq, l.ahead
FROM ingest_ledger l
JOIN unnest(%(gateway)s::text[], %(boot)s::text[], %(lane)s::smallint[]) AS s (gateway, boot, lane)
    USING (gateway, boot, lane)
