-- Tickets: open ones by when their crew is due on site, then those that need nobody there any more, newest first;
-- %(open_only)s leaves out the finished.
SELECT t.id, t.number, t.incident_id, t.zone, t.kind, t.urgency, t.state, t.held_from, t.place, t.reported_at,
       t.opened_at, t.on_site_due_at, t.on_site_at, t.made_safe_at, t.tested_at, t.revisited_at, t.postponed_until,
       t.incident_closed_at, t.crew, t.false_alarm_by, t.closed_at, n.id AS notice_id
FROM ticket t
LEFT JOIN notice n ON n.ticket_id = t.id
WHERE (t.closed_at IS NULL OR NOT %(open_only)s)
  AND (%(id)s::bigint IS NULL OR t.id = %(id)s)
ORDER BY t.closed_at IS NOT NULL,
         CASE WHEN t.closed_at IS NULL AND t.on_site_at IS NULL THEN t.on_site_due_at END NULLS LAST,
         t.opened_at DESC,
         t.id DESC
LIMIT %(limit)s
