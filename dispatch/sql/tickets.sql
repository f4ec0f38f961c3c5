-- Tickets, newest first; %(open_only)s leaves out those that are finished.
SELECT t.id, t.number, t.incident_id, t.zone, t.kind, t.urgency, t.state, t.held_from, t.place, t.reported_at,
       t.opened_at, t.on_site_due_at, t.on_site_at, t.made_safe_at, t.tested_at, t.revisited_at, t.postponed_until,
       t.incident_closed_at, t.crew, t.false_alarm_by, t.closed_at, n.id AS notice_id
FROM ticket t
LEFT JOIN notice n ON n.ticket_id = t.id
WHERE (t.closed_at IS NULL OR NOT %(open_only)s)
  AND (%(id)s::bigint IS NULL OR t.id = %(id)s)
ORDER BY t.closed_at IS NOT NULL, t.opened_at DESC, t.id DESC
LIMIT %(limit)s
