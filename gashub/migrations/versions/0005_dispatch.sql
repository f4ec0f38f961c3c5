-- Tickets and interruption notices. Written only by dispatch/.

-- The last number given out in a series on a day of the hub's time zone; the row is locked until the number is used or given back.
CREATE TABLE dispatch_number (
    series text NOT NULL,
    day date NOT NULL,
    last integer NOT NULL,
    PRIMARY KEY (series, day)
);

CREATE TABLE ticket (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    number text NOT NULL UNIQUE,
    incident_id bigint UNIQUE REFERENCES incident,
    zone text NOT NULL,
    kind text NOT NULL,
    urgency text NOT NULL CHECK (urgency IN ('emergency', 'soon', 'appointment', 'can_wait')),
    state text NOT NULL,
    held_from text,
    place jsonb NOT NULL,
    reported_at timestamptz NOT NULL,
    opened_at timestamptz NOT NULL,
    on_site_due_at timestamptz,
    on_site_at timestamptz,
    made_safe_at timestamptz,
    tested_at timestamptz,
    revisited_at timestamptz,
    postponed_until timestamptz,
    incident_closed_at timestamptz,
    crew text,
    false_alarm_by text,
    closed_at timestamptz
);
CREATE INDEX ticket_open ON ticket (opened_at) WHERE closed_at IS NULL;
COMMENT ON COLUMN ticket.reported_at IS 'when the emergency became known: service clocks run from here';
COMMENT ON COLUMN ticket.held_from IS 'the state to return to from postponed or false_alarm_proposed';

CREATE TABLE ticket_step (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ticket_id bigint NOT NULL REFERENCES ticket,
    step text NOT NULL,
    from_state text,
    to_state text NOT NULL,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    note text NOT NULL,
    place jsonb,
    body jsonb NOT NULL
);
CREATE INDEX ticket_step_ticket ON ticket_step (ticket_id, id);

CREATE TABLE notice (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    number text NOT NULL UNIQUE,
    incident_id bigint UNIQUE REFERENCES incident,
    ticket_id bigint NOT NULL UNIQUE REFERENCES ticket,
    zone text NOT NULL,
    kind text NOT NULL,
    state text NOT NULL CHECK (state IN ('issued', 'restored', 'withdrawn', 'closed')),
    version integer NOT NULL,
    issued_at timestamptz NOT NULL,
    starts_at timestamptz NOT NULL,
    expected_end_at timestamptz NOT NULL,
    area jsonb NOT NULL,
    valves jsonb NOT NULL,
    regulators jsonb NOT NULL,
    customers_by_class jsonb NOT NULL,
    sensitive_count integer NOT NULL,
    restored_at timestamptz,
    closed_at timestamptz
);
CREATE INDEX notice_open ON notice (issued_at) WHERE closed_at IS NULL;
COMMENT ON COLUMN notice.area IS 'polygons [[[x_m, y_m], ...], ...], each ring open';
COMMENT ON COLUMN notice.valves IS 'ids of the valves to close, in the order to walk them';
COMMENT ON COLUMN notice.regulators IS 'ids of the regulators that feed the part shut off and must be shut too';

CREATE TABLE notice_version (
    notice_id bigint NOT NULL REFERENCES notice,
    version integer NOT NULL,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    text_en text NOT NULL,
    text_zh text NOT NULL,
    reason text NOT NULL,
    expected_end_at timestamptz NOT NULL,
    service_points jsonb NOT NULL,
    PRIMARY KEY (notice_id, version)
);
COMMENT ON COLUMN notice_version.service_points IS 'ids of those who were without supply by this version';

CREATE TABLE notice_service_point (
    notice_id bigint NOT NULL REFERENCES notice,
    service_point_id text NOT NULL REFERENCES service_point,
    position integer NOT NULL,
    sensitivity text NOT NULL,
    customer_class text NOT NULL,
    restored_at timestamptz,
    PRIMARY KEY (notice_id, service_point_id)
);
COMMENT ON COLUMN notice_service_point.position IS 'order in which to tell them: sensitive customers first';
