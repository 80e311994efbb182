-- What became of commands that were accepted by way of Kafka, for whoever asks.

DO $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'tender_operations') THEN
        CREATE ROLE tender_operations NOLOGIN;
    END IF;
END
$$;

-- Ids are in the order in which operations were accepted, byte by byte.
CREATE TABLE operations (
    operation_id  text COLLATE "C"  NOT NULL,
    tenant_id     text              NOT NULL,
    merchant_id   text              NOT NULL,
    accepted_at   timestamptz       NOT NULL,
    decided_at    timestamptz       NOT NULL DEFAULT now(),
    refused       boolean           NOT NULL,
    outcome       bytea             NOT NULL,
    CONSTRAINT operations_pkey PRIMARY KEY (operation_id),
    CONSTRAINT operations_id_form CHECK (operation_id ~ '^op_[0-9a-v]{52}$')
);
COMMENT ON TABLE operations IS 'One row per operation once it is decided.';
COMMENT ON COLUMN operations.outcome IS 'tender.v1.CommandOutcome, as it is told.';

CREATE TABLE positions (
    partition     integer      NOT NULL,
    next_offset   bigint       NOT NULL,
    accepted_at   timestamptz  NOT NULL,
    CONSTRAINT positions_pkey PRIMARY KEY (partition)
);
COMMENT ON TABLE positions IS 'Up to where each partition of commands is done.';
COMMENT ON COLUMN positions.accepted_at IS 'When the last command before it was accepted.';

GRANT USAGE ON SCHEMA public TO tender_operations;
GRANT SELECT, INSERT, UPDATE, DELETE ON operations TO tender_operations;
GRANT SELECT, INSERT, UPDATE ON positions TO tender_operations;
