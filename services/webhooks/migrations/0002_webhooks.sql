-- Webhooks: endpoints and their secrets, what is delivered to them, and what came of each attempt.

CREATE TABLE endpoints (
    endpoint_id     text         NOT NULL,
    tenant_id       text         NOT NULL,
    merchant_id     text         NOT NULL,
    request_id      text         NOT NULL,
    url             text         NOT NULL,
    event_types     text []      NOT NULL,
    description     text         NOT NULL,
    state           text         NOT NULL DEFAULT 'enabled',
    disabled_cause  text         NOT NULL DEFAULT '',
    disabled_at     timestamptz,
    created_at      timestamptz  NOT NULL DEFAULT now(),
    updated_at      timestamptz  NOT NULL DEFAULT now(),
    CONSTRAINT endpoints_pkey PRIMARY KEY (endpoint_id),
    CONSTRAINT endpoints_request UNIQUE (tenant_id, request_id),
    CONSTRAINT endpoints_url_length CHECK (length(url) BETWEEN 1 AND 2048),
    CONSTRAINT endpoints_state_known CHECK (state IN ('enabled', 'disabled', 'deleted')),
    CONSTRAINT endpoints_cause_known CHECK (disabled_cause IN ('', 'requested', 'failing', 'gone')),
    CONSTRAINT endpoints_cause_of_disabled
    CHECK ((state = 'disabled') = (disabled_cause <> '' AND disabled_at IS NOT NULL))
);
COMMENT ON COLUMN endpoints.merchant_id IS 'Empty for an endpoint of the whole tenant.';
COMMENT ON COLUMN endpoints.state
IS 'Deleted ones are invisible, and go when their deliveries are gone.';

-- Whose an event is.
CREATE INDEX endpoints_owner ON endpoints (tenant_id, merchant_id);

CREATE TABLE secrets (
    endpoint_id  text         NOT NULL,
    number       integer      NOT NULL,
    request_id   text         NOT NULL,
    key_id       text         NOT NULL,
    sealed       bytea        NOT NULL,
    created_at   timestamptz  NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    CONSTRAINT secrets_pkey PRIMARY KEY (endpoint_id, number),
    CONSTRAINT secrets_request UNIQUE (endpoint_id, request_id),
    CONSTRAINT secrets_endpoint FOREIGN KEY (endpoint_id) REFERENCES endpoints (endpoint_id)
    ON DELETE CASCADE,
    CONSTRAINT secrets_number_positive CHECK (number > 0)
);
COMMENT ON COLUMN secrets.sealed
IS 'Encrypted under the key of key_id, for this endpoint and number.';

-- One row per endpoint that workers wake for: apart from what callers read, for it changes with
-- every attempt.
CREATE TABLE queues (
    endpoint_id      text         NOT NULL,
    due_at           timestamptz,
    touched          bigint       NOT NULL DEFAULT 0,
    lease            bigint       NOT NULL DEFAULT 0,
    leased_until     timestamptz  NOT NULL DEFAULT '-infinity',
    owner            text         NOT NULL DEFAULT '',
    last_success_at  timestamptz,
    failing_since    timestamptz,
    failures         integer      NOT NULL DEFAULT 0,
    pending          bigint       NOT NULL DEFAULT 0,
    CONSTRAINT queues_pkey PRIMARY KEY (endpoint_id),
    CONSTRAINT queues_endpoint FOREIGN KEY (endpoint_id) REFERENCES endpoints (endpoint_id)
    ON DELETE CASCADE,
    CONSTRAINT queues_failures_with_time CHECK ((failures > 0) = (failing_since IS NOT NULL))
) WITH (fillfactor = 50);
COMMENT ON COLUMN queues.due_at
IS 'When the endpoint is to be looked at; NULL if nothing waits for it.';
COMMENT ON COLUMN queues.touched
IS 'Grows when something is queued, so that nobody goes to sleep over it.';
COMMENT ON COLUMN queues.lease
IS 'The fence: what a worker records counts only under the last one.';

CREATE INDEX queues_due ON queues (due_at) WHERE due_at IS NOT NULL;

-- The body of an event, the same for every endpoint and every attempt.
CREATE TABLE messages (
    event_id    text         NOT NULL,
    tenant_id   text         NOT NULL,
    event_type  text         NOT NULL,
    entity_id   text         NOT NULL,
    body        text         NOT NULL,
    created_at  timestamptz  NOT NULL DEFAULT now(),
    CONSTRAINT messages_pkey PRIMARY KEY (event_id)
);
CREATE INDEX messages_created_at ON messages (created_at);

CREATE SEQUENCE delivery_places AS bigint;

CREATE TABLE deliveries (
    delivery_id  text         NOT NULL,
    endpoint_id  text         NOT NULL,
    event_id     text         NOT NULL,
    place        bigint       NOT NULL DEFAULT nextval('delivery_places'),
    state        text         NOT NULL DEFAULT 'pending',
    cause        text         NOT NULL DEFAULT '',
    tries        integer      NOT NULL DEFAULT 0,
    attempts     integer      NOT NULL DEFAULT 0,
    next_at      timestamptz,
    created_at   timestamptz  NOT NULL DEFAULT now(),
    expires_at   timestamptz  NOT NULL,
    ended_at     timestamptz,
    CONSTRAINT deliveries_pkey PRIMARY KEY (delivery_id),
    CONSTRAINT deliveries_once UNIQUE (endpoint_id, event_id),
    CONSTRAINT deliveries_endpoint FOREIGN KEY (endpoint_id) REFERENCES endpoints (endpoint_id),
    CONSTRAINT deliveries_message FOREIGN KEY (event_id) REFERENCES messages (event_id),
    CONSTRAINT deliveries_state_known CHECK (state IN ('pending', 'delivered', 'failed')),
    CONSTRAINT deliveries_end CHECK ((state = 'pending') = (ended_at IS NULL)),
    CONSTRAINT deliveries_cause CHECK ((state = 'failed') = (cause <> ''))
) WITH (fillfactor = 70);
COMMENT ON COLUMN deliveries.place
IS 'The order of an endpoint''s queue; a redelivery gets a new one.';
COMMENT ON COLUMN deliveries.tries IS 'Attempts since it was queued or queued again.';

-- The queue of an endpoint, its log, and what is old.
CREATE INDEX deliveries_queue ON deliveries (endpoint_id, place) WHERE state = 'pending';
CREATE INDEX deliveries_log ON deliveries (endpoint_id, delivery_id);
CREATE INDEX deliveries_event ON deliveries (event_id);
CREATE INDEX deliveries_ended ON deliveries (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE attempts (
    delivery_id  text         NOT NULL,
    number       integer      NOT NULL,
    started_at   timestamptz  NOT NULL,
    duration_ms  integer      NOT NULL,
    status_code  integer      NOT NULL,
    cause        text         NOT NULL,
    CONSTRAINT attempts_pkey PRIMARY KEY (delivery_id, number),
    CONSTRAINT attempts_delivery FOREIGN KEY (delivery_id) REFERENCES deliveries (delivery_id)
    ON DELETE CASCADE,
    CONSTRAINT attempts_number_positive CHECK (number > 0)
);

DO $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'tender_webhooks') THEN
        CREATE ROLE tender_webhooks NOLOGIN;
    END IF;
END
$$;

GRANT USAGE ON SCHEMA public TO tender_webhooks;
GRANT SELECT, INSERT, UPDATE, DELETE
    ON inbox, endpoints, secrets, queues, messages, deliveries, attempts
    TO tender_webhooks;
GRANT USAGE ON SEQUENCE delivery_places TO tender_webhooks;
