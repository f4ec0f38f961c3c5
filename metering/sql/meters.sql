-- Every installation at an account's service points, in order of time.
SELECT m.id, m.service_point, m.device, m.volume_point_id, m.installed_at, m.removed_at, p.counter_modulus
FROM meter m
JOIN account_service_point s ON s.service_point = m.service_point
JOIN point p ON p.id = m.volume_point_id
WHERE s.account = %(account)s
ORDER BY m.service_point, m.installed_at
