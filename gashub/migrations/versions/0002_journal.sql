-- Every business change, in order, without gaps; and how far each follower has come. Written only by gashub.journal.

CREATE TABLE journal_counter (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    number bigint NOT NULL
);
INSERT INTO journal_counter (number) VALUES (0);

CREATE TABLE journal (
    number bigint PRIMARY KEY,
    at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind text NOT NULL,
    subject text NOT NULL,
    actor text NOT NULL,
    body jsonb NOT NULL
);
CREATE INDEX journal_subject ON journal (subject, number);

CREATE FUNCTION journal_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the journal is append-only';
END $$;
CREATE TRIGGER journal_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON journal
    FOR EACH STATEMENT EXECUTE FUNCTION journal_is_append_only();

CREATE TABLE journal_follower (
    name text PRIMARY KEY,
    number bigint NOT NULL
);
