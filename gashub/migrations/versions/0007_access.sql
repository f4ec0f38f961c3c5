-- Who may log in, who is logged in, and what everybody did. Written only by api/.

CREATE TABLE app_user (
    name text PRIMARY KEY CHECK (name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
    role text NOT NULL CHECK (role IN ('viewer', 'operator', 'supervisor', 'administrator')),
    password_hash text NOT NULL,
    must_change_password boolean NOT NULL,
    active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL
);

CREATE TABLE session (
    token_hash bytea PRIMARY KEY,
    user_name text NOT NULL REFERENCES app_user ON DELETE CASCADE,
    csrf_token text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX session_by_user ON session (user_name);
COMMENT ON COLUMN session.token_hash IS 'SHA-256 of the token in the cookie: whoever reads this table cannot log in with it';

CREATE TABLE audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    result text NOT NULL,
    address text NOT NULL,
    detail jsonb NOT NULL
);
CREATE INDEX audit_at ON audit (at);

CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit is append-only';
END $$;
CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();
