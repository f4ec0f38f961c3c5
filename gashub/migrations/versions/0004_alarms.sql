-- Alarms and incidents. Written only by alarms/.

CREATE TABLE incident (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    group_key text NOT NULL,
    zone text NOT NULL,
    kind text NOT NULL,
    priority text NOT NULL,
    emergency boolean NOT NULL,
    opened_at timestamptz NOT NULL,
    closed_at timestamptz,
    place jsonb NOT NULL,
    evidence jsonb NOT NULL
);
CREATE UNIQUE INDEX incident_one_open ON incident (group_key) WHERE closed_at IS NULL;
COMMENT ON COLUMN incident.place IS 'ranked: [{"element": "pipe|junction|station|regulator", "id": ..., "probability": ...}], best first';

CREATE TABLE alarm (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    condition text NOT NULL,
    rule text NOT NULL,
    zone text NOT NULL,
    station text,
    point_id integer,
    incident_id bigint NOT NULL REFERENCES incident,
    first_out boolean NOT NULL,
    priority text NOT NULL CHECK (priority IN ('emergency', 'high', 'medium', 'low')),
    active boolean NOT NULL,
    acknowledged boolean NOT NULL,
    shelved_until timestamptz,
    raised_at timestamptz NOT NULL,
    returned_at timestamptz,
    acknowledged_at timestamptz,
    acknowledged_by text,
    closed_at timestamptz,
    value float8,
    limit_value float8,
    evidence jsonb NOT NULL
);
CREATE UNIQUE INDEX alarm_one_standing ON alarm (condition) WHERE closed_at IS NULL;
CREATE INDEX alarm_incident ON alarm (incident_id);
COMMENT ON COLUMN alarm.condition IS 'what is alarmed, e.g. "outlet_pressure_high_high:184" (rule:point) or "zone_leak:east" (rule:zone)';

ALTER TABLE alarm ADD COLUMN shelved_by text;
ALTER TABLE alarm ADD COLUMN shelved_reason text;
CREATE INDEX alarm_recent ON alarm (condition, id DESC);
COMMENT ON COLUMN alarm.first_out IS 'the first alarm of its incident';
COMMENT ON COLUMN alarm.evidence IS 'what the decision rested on, e.g. {"imbalance_m3h": 130, "window_s": 300}';

-- The newest balance of each zone, as the operator sees it. All flows in m3/h at standard conditions.
CREATE TABLE zone_balance (
    zone text PRIMARY KEY,
    at timestamptz NOT NULL,
    inlet_m3h float8 NOT NULL,
    offtake_m3h float8 NOT NULL,
    expected_unmetered_m3h float8 NOT NULL,
    linepack_rate_m3h float8 NOT NULL,
    imbalance_m3h float8 NOT NULL,
    sigma_m3h float8 NOT NULL,
    smallest_leak_m3h float8 NOT NULL,
    ready boolean NOT NULL
);
COMMENT ON COLUMN zone_balance.imbalance_m3h IS 'inlet - offtake - expected unmetered - line pack rate: what is missing';
COMMENT ON COLUMN zone_balance.smallest_leak_m3h IS 'the smallest leak that would raise an alarm now, were it to last';
