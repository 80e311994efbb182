-- Who publishes a shard's journal, and how far that is (decision record 0022).

CREATE TABLE relays (
    name         text         NOT NULL,
    epoch        bigint       NOT NULL,
    owner        text         NOT NULL,
    backend_pid  integer      NOT NULL,
    position     bigint       NOT NULL,
    seen_at      timestamptz  NOT NULL,
    CONSTRAINT relays_pkey PRIMARY KEY (name),
    CONSTRAINT relays_epoch_positive CHECK (epoch > 0),
    CONSTRAINT relays_position_not_negative CHECK (position >= 0)
) WITH (fillfactor = 10);
COMMENT ON TABLE relays IS 'One row per use of the journal; events is the one that goes to Kafka.';
COMMENT ON COLUMN relays.epoch IS
    'Grows with every relay that takes over; one of an earlier epoch stores no position.';
COMMENT ON COLUMN relays.position IS
    'The journal row up to which everything is acknowledged by Kafka; it never goes back.';
COMMENT ON COLUMN relays.seen_at IS
    'When its owner was last heard; one that is silent for long is ended by its successor.';

DO $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'tender_publisher') THEN
        CREATE ROLE tender_publisher NOLOGIN;
    END IF;
END
$$;

GRANT USAGE ON SCHEMA public TO tender_publisher;
GRANT SELECT ON journal, legs_sent, relays TO tender_publisher;
GRANT INSERT, UPDATE ON relays TO tender_publisher;
GRANT SELECT ON relays TO tender_lane, tender_reader;
