-- What the reports are read from. All of it can be made again from the journals and the topics, and
-- is then made in a schema beside this one and swapped in (decision record 0025).

CREATE SCHEMA report;

CREATE TABLE report.payments (
    id                text         NOT NULL,
    tenant_id         text         NOT NULL,
    merchant_id       text         NOT NULL,
    payer_account_id  text         NOT NULL,
    state             text         NOT NULL,
    decline_reason    text         NOT NULL,
    capture_method    text         NOT NULL,
    currency          text         NOT NULL,
    amount            bigint       NOT NULL,
    captured          bigint       NOT NULL,
    refunded          bigint       NOT NULL,
    refund_pending    bigint       NOT NULL,
    fee               bigint       NOT NULL,
    fee_refunded      bigint       NOT NULL,
    description       text         NOT NULL,
    metadata          jsonb        NOT NULL,
    version           bigint       NOT NULL,
    created_at        timestamptz  NOT NULL,
    updated_at        timestamptz  NOT NULL,
    shard             text         NOT NULL,
    incarnation       text         NOT NULL,
    told_at           timestamptz  NOT NULL,
    earlier           jsonb        NOT NULL,
    CONSTRAINT payments_pkey PRIMARY KEY (id)
) WITH (fillfactor = 85);
COMMENT ON TABLE report.payments IS 'Each payment as the newest commit that was told left it.';
COMMENT ON COLUMN report.payments.told_at IS 'When that commit was decided.';
COMMENT ON COLUMN report.payments.earlier IS
    'How it stood at the end of earlier days: [[days since 1970, version, captured, fee], ...]';
-- Reader: SearchPayments and its export.
CREATE INDEX payments_merchant_idx ON report.payments (merchant_id, created_at, id);
-- Reader: SearchPayments by payer.
CREATE INDEX payments_payer_idx ON report.payments (payer_account_id, created_at, id);
-- Reader: SearchPayments by metadata.
CREATE INDEX payments_metadata_idx ON report.payments USING gin (metadata jsonb_path_ops)
    WHERE metadata <> '{}';

CREATE TABLE report.refunds (
    id            text         NOT NULL,
    payment_id    text         NOT NULL,
    tenant_id     text         NOT NULL,
    merchant_id   text         NOT NULL,
    state         text         NOT NULL,
    currency      text         NOT NULL,
    amount        bigint       NOT NULL,
    fee_refunded  bigint       NOT NULL,
    created_at    timestamptz  NOT NULL,
    shard         text         NOT NULL,
    incarnation   text         NOT NULL,
    told_at       timestamptz  NOT NULL,
    CONSTRAINT refunds_pkey PRIMARY KEY (id)
);
COMMENT ON TABLE report.refunds IS 'Each refund as the newest commit that was told left it.';

CREATE TABLE report.transfers (
    id                        text         NOT NULL,
    source_account_id         text         NOT NULL,
    destination_account_id    text         NOT NULL,
    amount                    bigint       NOT NULL,
    currency                  text         NOT NULL,
    reason                    text         NOT NULL,
    payment_id                text         NOT NULL,
    refund_id                 text         NOT NULL,
    description               text         NOT NULL,
    remote_account_id         text         NOT NULL,
    source_posted_after       bigint       NOT NULL,
    destination_posted_after  bigint       NOT NULL,
    shard                     text         NOT NULL,
    incarnation               text         NOT NULL,
    seq                       bigint       NOT NULL,
    place                     integer      NOT NULL,
    told_at                   timestamptz  NOT NULL,
    CONSTRAINT transfers_pkey PRIMARY KEY (id)
);
COMMENT ON TABLE report.transfers IS 'Every movement of money with both balances after it.';
COMMENT ON COLUMN report.transfers.place IS 'Among the events of its commit.';
-- Reader: GetAccountStatement and its export, for money that went.
CREATE INDEX transfers_source_idx ON report.transfers (source_account_id, told_at, seq, place);
-- Reader: GetAccountStatement and its export, for money that came.
CREATE INDEX transfers_destination_idx
    ON report.transfers (destination_account_id, told_at, seq, place);

CREATE TABLE report.accounts (
    id           text         NOT NULL,
    tenant_id    text         NOT NULL,
    user_id      text         NOT NULL,
    kind         text         NOT NULL,
    currency     text         NOT NULL,
    state        text         NOT NULL,
    posted       bigint       NOT NULL,
    held         bigint       NOT NULL,
    version      bigint       NOT NULL,
    shard        text         NOT NULL,
    incarnation  text         NOT NULL,
    told_at      timestamptz  NOT NULL,
    CONSTRAINT accounts_pkey PRIMARY KEY (id)
) WITH (fillfactor = 50);
COMMENT ON TABLE report.accounts IS 'Each account as the newest commit that was told left it.';

CREATE TABLE report.merchants (
    id            text         NOT NULL,
    tenant_id     text         NOT NULL,
    reference     text         NOT NULL,
    display_name  text         NOT NULL,
    account_ids   text[]       NOT NULL,
    version       bigint       NOT NULL,
    shard         text         NOT NULL,
    incarnation   text         NOT NULL,
    told_at       timestamptz  NOT NULL,
    CONSTRAINT merchants_pkey PRIMARY KEY (id)
);
COMMENT ON COLUMN report.merchants.account_ids IS
    'The accounts that it settles to, whose statements its own keys may read.';

CREATE TABLE report.day_states (
    tenant_id    text    NOT NULL,
    merchant_id  text    NOT NULL,
    currency     text    NOT NULL,
    day          date    NOT NULL,
    state        text    NOT NULL,
    payments     bigint  NOT NULL,
    amount       bigint  NOT NULL,
    CONSTRAINT day_states_pkey PRIMARY KEY (merchant_id, currency, day, state)
) WITH (fillfactor = 50);
COMMENT ON TABLE report.day_states IS
    'Payments by the day (UTC) on which they were authorized or declined, and by their state.';

CREATE TABLE report.day_volumes (
    tenant_id      text    NOT NULL,
    merchant_id    text    NOT NULL,
    currency       text    NOT NULL,
    day            date    NOT NULL,
    captured       bigint  NOT NULL,
    fees           bigint  NOT NULL,
    refunds        bigint  NOT NULL,
    refunded       bigint  NOT NULL,
    fees_refunded  bigint  NOT NULL,
    CONSTRAINT day_volumes_pkey PRIMARY KEY (merchant_id, currency, day)
) WITH (fillfactor = 50);
COMMENT ON TABLE report.day_volumes IS
    'Money by the day (UTC) on which it was captured, or its refund was asked for.';

CREATE TABLE report.positions (
    shard        text         NOT NULL,
    incarnation  text         NOT NULL,
    first_seq    bigint       NOT NULL,
    first_at     timestamptz  NOT NULL,
    seq          bigint       NOT NULL,
    told_at      timestamptz  NOT NULL,
    CONSTRAINT positions_pkey PRIMARY KEY (shard, incarnation)
) WITH (fillfactor = 50);
COMMENT ON TABLE report.positions IS
    'The first and the newest commit that was heard of in each history of each shard.';

CREATE TABLE report.builds (
    built_at    timestamptz  NOT NULL,
    seconds     float8       NOT NULL,
    positions   jsonb        NOT NULL
);
COMMENT ON TABLE report.builds IS 'One row if this was made anew: when, and up to which commits.';

DO $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'tender_reporting') THEN
        CREATE ROLE tender_reporting NOLOGIN;
    END IF;
END
$$;

GRANT USAGE ON SCHEMA public, report TO tender_reporting;
-- UPDATE is what locking its rows takes.
GRANT SELECT, INSERT, UPDATE, DELETE ON inbox TO tender_reporting;
GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA report TO tender_reporting;
