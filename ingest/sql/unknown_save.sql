-- Blocks seen that are not enrolled; the list is bounded, what is on it already is always counted.
INSERT INTO unknown_block AS u (gateway, block_id, first_seen, last_seen, frames)
SELECT s.gateway, s.block_id, %(now)s, %(now)s, s.frames
FROM unnest(%(gateway)s::text[], %(block_id)s::integer[], %(frames)s::bigint[]) AS s (gateway, block_id, frames)
WHERE (SELECT count(*) FROM unknown_block) < %(limit)s
    OR EXISTS (SELECT FROM unknown_block k WHERE k.gateway = s.gateway AND k.block_id = s.block_id)
ON CONFLICT (gateway, block_id) DO UPDATE SET
    last_seen = excluded.last_seen,
    frames = u.frames + excluded.frames
