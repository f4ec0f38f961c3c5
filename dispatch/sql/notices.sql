-- Notices, newest first; %(open_only)s leaves out those that are closed or withdrawn.
SELECT n.id, n.number, n.incident_id, n.ticket_id, n.zone, n.kind, n.state, n.version, n.issued_at, n.starts_at,
       n.expected_end_at, n.area, n.valves, n.regulators, n.customers_by_class, n.sensitive_count, n.restored_at, n.closed_at,
       count(p.service_point_id) AS service_point_count,
       count(p.restored_at) AS restored_count
FROM notice n
LEFT JOIN notice_service_point p ON p.notice_id = n.id
WHERE (n.closed_at IS NULL OR NOT %(open_only)s)
  AND (%(id)s::bigint IS NULL OR n.id = %(id)s)
GROUP BY n.id
ORDER BY n.closed_at IS NOT NULL, n.issued_at DESC, n.id DESC
LIMIT %(limit)s
