-- What sends and is not enrolled with that gateway by now.
SELECT u.gateway, u.block_id, u.first_seen, u.last_seen, u.frames
FROM unknown_block u
LEFT JOIN block b ON b.id = u.block_id
LEFT JOIN device d ON d.id = b.device AND d.gateway = u.gateway AND d.retired_at IS NULL
WHERE d.id IS NULL
ORDER BY u.last_seen DESC, u.gateway, u.block_id
LIMIT %(limit)s
