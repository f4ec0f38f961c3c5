-- Commercial accounts and their meters. Written only by metering/.

CREATE TABLE account (
    id text PRIMARY KEY,
    name text NOT NULL,
    phone text NOT NULL,
    customer_class text NOT NULL
);
CREATE TABLE account_service_point (
    service_point text PRIMARY KEY REFERENCES service_point,
    account text NOT NULL REFERENCES account
);
CREATE INDEX account_service_point_account ON account_service_point (account);

CREATE TABLE meter (
    id text PRIMARY KEY,
    service_point text NOT NULL REFERENCES service_point,
    device text NOT NULL REFERENCES device,
    volume_point_id integer NOT NULL REFERENCES point,
    installed_at timestamptz NOT NULL,
    removed_at timestamptz CHECK (removed_at > installed_at)
);
CREATE UNIQUE INDEX meter_one_installed ON meter (service_point) WHERE removed_at IS NULL;
COMMENT ON TABLE meter IS 'one row per installation period; an exchange ends one and begins another';

-- The counter as it stood when a gas day began; once frozen never changed.
CREATE TABLE daily_reading (
    meter text NOT NULL REFERENCES meter,
    gas_day date NOT NULL,
    index_m3_std float8 NOT NULL,
    measured_at timestamptz NOT NULL,
    quality smallint NOT NULL,
    frozen_at timestamptz NOT NULL,
    PRIMARY KEY (meter, gas_day)
);
