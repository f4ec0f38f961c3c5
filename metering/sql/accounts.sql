-- Accounts whose id, name or service point contains the words searched for; live-metered ones first.
SELECT a.id, a.name, a.phone, a.customer_class,
       array_agg(DISTINCT s.service_point ORDER BY s.service_point) FILTER (WHERE s.service_point IS NOT NULL)
           AS service_points,
       count(DISTINCT m.id) AS meters
FROM account a
LEFT JOIN account_service_point s ON s.account = a.id
LEFT JOIN meter m ON m.service_point = s.service_point AND m.removed_at IS NULL
WHERE (%(id)s::text IS NULL OR a.id = %(id)s)
  AND (%(pattern)s::text IS NULL
       OR a.id ILIKE %(pattern)s
       OR (%(by_name)s AND a.name ILIKE %(pattern)s)
       OR EXISTS (SELECT FROM account_service_point f WHERE f.account = a.id AND f.service_point ILIKE %(pattern)s))
GROUP BY a.id
ORDER BY count(DISTINCT m.id) = 0, a.id
LIMIT %(limit)s
