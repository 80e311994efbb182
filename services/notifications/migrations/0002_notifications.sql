-- Who is told what, in which words, and what became of each message.

CREATE TABLE account_owners (
    account_id  text    NOT NULL,
    tenant_id   text    NOT NULL,
    user_id     text    NOT NULL,
    version     bigint  NOT NULL,
    CONSTRAINT account_owners_pkey PRIMARY KEY (account_id)
) WITH (fillfactor = 70);
COMMENT ON TABLE account_owners
    IS 'Whose an account is: payments name accounts, contacts name users.';

CREATE TABLE merchant_names (
    merchant_id   text    NOT NULL,
    tenant_id     text    NOT NULL,
    display_name  text    NOT NULL,
    version       bigint  NOT NULL,
    CONSTRAINT merchant_names_pkey PRIMARY KEY (merchant_id)
);

CREATE TABLE contacts (
    tenant_id      text         NOT NULL,
    user_id        text         NOT NULL,
    email_address  text         NOT NULL DEFAULT '',
    phone_number   text         NOT NULL DEFAULT '',
    push_token     text         NOT NULL DEFAULT '',
    language       text         NOT NULL,
    time_zone      text         NOT NULL,
    quiet_from     time,
    quiet_until    time,
    preferences    jsonb        NOT NULL DEFAULT '{}',
    created_at     timestamptz  NOT NULL DEFAULT now(),
    updated_at     timestamptz  NOT NULL DEFAULT now(),
    CONSTRAINT contacts_pkey PRIMARY KEY (tenant_id, user_id),
    CONSTRAINT contacts_quiet_hours CHECK (
        (quiet_from IS NULL) = (quiet_until IS NULL) AND quiet_from IS DISTINCT FROM quiet_until
        OR quiet_from IS NULL AND quiet_until IS NULL
    ),
    CONSTRAINT contacts_address_in_one_line CHECK (
        email_address !~ '[[:cntrl:]]' AND phone_number !~ '[[:cntrl:]]'
        AND push_token !~ '[[:cntrl:]]'
    ),
    CONSTRAINT contacts_preferences_form CHECK (jsonb_typeof(preferences) = 'object')
);
COMMENT ON TABLE contacts
    IS 'The one place where addresses are; messages look them up when they are sent.';
COMMENT ON COLUMN contacts.preferences
    IS 'By "type/channel", "" for all types: whether it is wanted.';

CREATE TABLE templates (
    template_id     bigint       GENERATED ALWAYS AS IDENTITY,
    tenant_id       text         NOT NULL,
    type            text         NOT NULL,
    channel         text         NOT NULL,
    language        text         NOT NULL,
    version         integer      NOT NULL,
    subject         text         NOT NULL,
    body            text         NOT NULL,
    html            text         NOT NULL,
    sample          jsonb        NOT NULL DEFAULT '{}',
    created_at      timestamptz  NOT NULL DEFAULT now(),
    CONSTRAINT templates_pkey PRIMARY KEY (tenant_id, type, channel, language, version),
    CONSTRAINT templates_id_key UNIQUE (template_id),
    CONSTRAINT templates_channel CHECK (channel IN ('email', 'sms', 'push')),
    CONSTRAINT templates_version CHECK (version > 0)
);
COMMENT ON TABLE templates
    IS 'Every version that was ever put; tenant_id is empty for those of Tender.';

CREATE TABLE notifications (
    number              bigint       GENERATED ALWAYS AS IDENTITY,
    notification_id     text         NOT NULL,
    tenant_id           text         NOT NULL,
    user_id             text         NOT NULL,
    event_id            text         NOT NULL,
    type                text         NOT NULL,
    channel             text         NOT NULL,
    language            text         NOT NULL,
    template_version    integer      NOT NULL,
    urgent              boolean      NOT NULL,
    subject             text         NOT NULL,
    body                text         NOT NULL,
    html                text         NOT NULL,
    state               text         NOT NULL DEFAULT 'pending',
    tries               integer      NOT NULL DEFAULT 0,
    due_at              timestamptz  NOT NULL,
    next_try_at         timestamptz  NOT NULL,
    expires_at          timestamptz  NOT NULL,
    fence               bigint       NOT NULL DEFAULT 0,
    problem             text         NOT NULL DEFAULT '',
    masked_address      text         NOT NULL DEFAULT '',
    provider_reference  text         NOT NULL DEFAULT '',
    resent_from         text         NOT NULL DEFAULT '',
    created_at          timestamptz  NOT NULL DEFAULT now(),
    sent_at             timestamptz,
    CONSTRAINT notifications_pkey PRIMARY KEY (number),
    CONSTRAINT notifications_id_key UNIQUE (notification_id),
    CONSTRAINT notifications_channel CHECK (channel IN ('email', 'sms', 'push')),
    CONSTRAINT notifications_state CHECK (state IN ('pending', 'sent', 'failed', 'cancelled')),
    CONSTRAINT notifications_sent CHECK ((state = 'sent') = (sent_at IS NOT NULL)),
    CONSTRAINT notifications_subject_in_one_line CHECK (subject !~ '[[:cntrl:]]')
) WITH (fillfactor = 70);
COMMENT ON TABLE notifications
    IS 'Messages to be sent, and the log of them; next_try_at also ends a lease.';
COMMENT ON COLUMN notifications.due_at
    IS 'When it was first to be sent: what is later than that is behind.';
COMMENT ON COLUMN notifications.fence
    IS 'Grows with each lease: whoever has an old one records nothing.';

CREATE INDEX notifications_due ON notifications (channel, next_try_at) WHERE state = 'pending';
CREATE INDEX notifications_of_user ON notifications (tenant_id, user_id, number);
CREATE INDEX notifications_of_event ON notifications (tenant_id, event_id, number);
CREATE INDEX notifications_by_state ON notifications (tenant_id, state, number);
CREATE INDEX notifications_by_age ON notifications (created_at);

CREATE TABLE unowned_events (
    event_id     text         NOT NULL,
    tenant_id    text         NOT NULL,
    account_id   text         NOT NULL,
    event        bytea        NOT NULL,
    problem      text         NOT NULL DEFAULT '',
    next_try_at  timestamptz  NOT NULL DEFAULT now(),
    created_at   timestamptz  NOT NULL DEFAULT now(),
    CONSTRAINT unowned_events_pkey PRIMARY KEY (event_id)
);
COMMENT ON TABLE unowned_events
    IS 'Events whose payer is not known yet: accounts have a topic of their own.';
CREATE INDEX unowned_events_of_account ON unowned_events (account_id);
CREATE INDEX unowned_events_by_age ON unowned_events (created_at);
