-- The pipe network and what stands in the field. Written only by gashub/.

CREATE TABLE zone (
    id text PRIMARY KEY,
    name_en text NOT NULL,
    name_zh text NOT NULL
);
CREATE TABLE junction (
    id text PRIMARY KEY,
    zone text NOT NULL REFERENCES zone,
    x_m float8 NOT NULL,
    y_m float8 NOT NULL,
    height_m float8 NOT NULL
);
CREATE TABLE pipe (
    id text PRIMARY KEY,
    zone text NOT NULL REFERENCES zone,
    from_junction text NOT NULL REFERENCES junction,
    to_junction text NOT NULL REFERENCES junction,
    length_m float8 NOT NULL CHECK (length_m > 0),
    inner_diameter_mm float8 NOT NULL CHECK (inner_diameter_mm > 0),
    roughness_mm float8 NOT NULL CHECK (roughness_mm >= 0),
    pressure_level text NOT NULL
);
CREATE TABLE valve (
    id text PRIMARY KEY,
    zone text NOT NULL REFERENCES zone,
    from_junction text NOT NULL REFERENCES junction,
    to_junction text NOT NULL REFERENCES junction,
    normally_open boolean NOT NULL,
    inner_diameter_mm float8 NOT NULL
);
CREATE TABLE station (
    id text PRIMARY KEY,
    zone text NOT NULL REFERENCES zone,
    kind text NOT NULL,
    name_en text NOT NULL,
    name_zh text NOT NULL,
    junction text NOT NULL REFERENCES junction
);
CREATE TABLE regulator (
    id text PRIMARY KEY,
    zone text NOT NULL REFERENCES zone,
    station text NOT NULL REFERENCES station,
    from_junction text NOT NULL REFERENCES junction,
    to_junction text NOT NULL REFERENCES junction,
    set_point_kpa_gauge float8 NOT NULL,
    slam_shut_kpa_gauge float8 NOT NULL,
    capacity_m3h_std float8 NOT NULL
);
CREATE TABLE gate_inlet (
    id text PRIMARY KEY,
    junction text NOT NULL REFERENCES junction,
    pressure_kpa_gauge float8 NOT NULL
);
CREATE TABLE service_point (
    id text PRIMARY KEY,
    zone text NOT NULL REFERENCES zone,
    junction text NOT NULL REFERENCES junction,
    customer_class text NOT NULL,
    annual_m3_std float8 NOT NULL CHECK (annual_m3_std >= 0),
    sensitivity text NOT NULL,
    metered_live boolean NOT NULL
);

CREATE TABLE gateway (
    id text PRIMARY KEY,
    zone text NOT NULL REFERENCES zone,
    retired_at timestamptz
);
CREATE TABLE device (
    id text PRIMARY KEY,
    gateway text NOT NULL REFERENCES gateway,
    station text NOT NULL REFERENCES station,
    profile text NOT NULL,
    service_point text REFERENCES service_point,
    regulator text REFERENCES regulator,
    enrolled_at timestamptz NOT NULL,
    retired_at timestamptz
);
CREATE TABLE block (
    id integer PRIMARY KEY CHECK (id > 0),
    device text NOT NULL REFERENCES device,
    name text NOT NULL,
    scan_s float8 NOT NULL CHECK (scan_s > 0),
    UNIQUE (device, name)
);
CREATE TABLE point (
    id integer PRIMARY KEY,
    block_id integer NOT NULL GENERATED ALWAYS AS (id / 8) STORED REFERENCES block,
    slot smallint NOT NULL GENERATED ALWAYS AS (id % 8) STORED,
    tag text NOT NULL UNIQUE,
    quantity text NOT NULL,
    role text NOT NULL,
    nominal float8,
    normal_low float8,
    normal_high float8,
    counter_modulus float8
);

-- Counts every change of the tables above, so that a service knows when to read them again.
CREATE TABLE registry_version (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    version bigint NOT NULL
);
INSERT INTO registry_version (version) VALUES (1);
