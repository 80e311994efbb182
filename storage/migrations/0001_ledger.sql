-- The ledger of one shard: who owns it, accounts, merchants, payments, transfers, request keys, journal.

CREATE TABLE lanes (
    shard        text        NOT NULL,
    epoch        bigint      NOT NULL,
    owner        text        NOT NULL,
    incarnation  text        NOT NULL,
    backend_pid  integer     NOT NULL,
    opened_at    timestamptz NOT NULL,
    CONSTRAINT lanes_pkey PRIMARY KEY (shard),
    CONSTRAINT lanes_epoch_positive CHECK (epoch > 0)
) WITH (fillfactor = 10);
COMMENT ON TABLE lanes IS 'The single writer of the shard; changes only at takeover.';

CREATE TABLE accounts (
    id                text        NOT NULL,
    tenant_id         text        NOT NULL,
    user_id           text        NOT NULL,
    kind              text        NOT NULL,
    currency          text        NOT NULL,
    state             text        NOT NULL,
    posted            bigint      NOT NULL,
    held              bigint      NOT NULL,
    floor             bigint,
    version           bigint      NOT NULL,
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz NOT NULL,
    last_transfer_id  text        NOT NULL,
    last_payment_id   text        NOT NULL,
    CONSTRAINT accounts_pkey PRIMARY KEY (id),
    CONSTRAINT accounts_kind_known CHECK (kind IN (
        'CONSUMER_WALLET', 'MERCHANT_WALLET', 'FEES', 'CLEARING', 'ACQUIRER_SETTLEMENT',
        'FX_POSITION', 'SUSPENSE', 'WORLD'
    )),
    CONSTRAINT accounts_state_known CHECK (state IN ('OPEN', 'FROZEN', 'CLOSED')),
    -- No regular expression: it would run with every change of a balance and cost more than all the
    -- other checks together, for a column that never changes.
    CONSTRAINT accounts_currency_code CHECK (octet_length(currency) = 3),
    CONSTRAINT accounts_held_not_negative CHECK (held >= 0),
    CONSTRAINT accounts_available_above_floor CHECK (floor IS NULL OR posted - held >= floor),
    CONSTRAINT accounts_within_limit CHECK (
        posted BETWEEN -4611686018427387904 AND 4611686018427387904
        AND held <= 4611686018427387904
    ),
    CONSTRAINT accounts_closed_is_empty CHECK (state <> 'CLOSED' OR (posted = 0 AND held = 0))
) WITH (fillfactor = 50);
COMMENT ON COLUMN accounts.floor IS
    'posted - held never falls below it; NULL for world and clearing.';
COMMENT ON COLUMN accounts.last_transfer_id IS
    'Newest transfer with it on a side; each transfer names the one before. Empty: none.';
COMMENT ON COLUMN accounts.last_payment_id IS
    'Newest payment of which it is the payer; each names the one before. Empty: none.';
-- Reader: ListAccounts.
CREATE INDEX accounts_owner_idx ON accounts (tenant_id, user_id, id);

CREATE TABLE merchants (
    id                text        NOT NULL,
    tenant_id         text        NOT NULL,
    reference         text        NOT NULL,
    display_name      text        NOT NULL,
    state             text        NOT NULL,
    settlement_terms  text        NOT NULL,
    version           bigint      NOT NULL,
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz NOT NULL,
    CONSTRAINT merchants_pkey PRIMARY KEY (id),
    CONSTRAINT merchants_state_known CHECK (state IN ('ACTIVE', 'SUSPENDED'))
);
COMMENT ON TABLE merchants IS
    'All of them, for every lane authorizes payments to any: those of other shards as copies.';
-- Unique in each region: there one shard has the reference's bucket, and a copy never collides.
CREATE UNIQUE INDEX merchants_reference_key
    ON merchants (tenant_id, reference, split_part(id, '_', 2));
COMMENT ON COLUMN merchants.settlement_terms IS
    'JSON: [[currency, account id, basis points, fixed minor units, fee refund policy], ...]';

CREATE TABLE payments (
    id                     text        NOT NULL,
    tenant_id              text        NOT NULL,
    merchant_id            text        NOT NULL,
    payer_account_id       text        NOT NULL,
    settlement_account_id  text        NOT NULL,
    state                  text        NOT NULL,
    capture_method         text        NOT NULL,
    decline_reason         text        NOT NULL,
    currency               text        NOT NULL,
    amount                 bigint      NOT NULL,
    captured               bigint      NOT NULL,
    capturable             bigint      NOT NULL,
    refunded               bigint      NOT NULL,
    refund_pending         bigint      NOT NULL,
    fee                    bigint      NOT NULL,
    fee_refunded           bigint      NOT NULL,
    fee_basis_points       integer     NOT NULL,
    fee_fixed              bigint      NOT NULL,
    fee_refund_policy      text        NOT NULL,
    hold_expires_at        timestamptz,
    description            text        NOT NULL,
    metadata               text        NOT NULL,
    version                bigint      NOT NULL,
    created_at             timestamptz NOT NULL,
    updated_at             timestamptz NOT NULL,
    payer_previous_id      text        NOT NULL,
    CONSTRAINT payments_pkey PRIMARY KEY (id),
    CONSTRAINT payments_state_known CHECK (state IN (
        'PROCESSING', 'AUTHORIZED', 'PARTIALLY_CAPTURED', 'CAPTURED', 'VOIDED', 'EXPIRED',
        'DECLINED', 'FAILED', 'IN_DOUBT'
    )),
    CONSTRAINT payments_capture_method_known CHECK (
        capture_method IN ('AUTOMATIC', 'MANUAL', 'MANUAL_MULTIPLE')
    ),
    CONSTRAINT payments_amount_positive CHECK (amount > 0),
    CONSTRAINT payments_captured_within_amount CHECK (
        captured >= 0 AND capturable >= 0 AND captured + capturable <= amount
    ),
    CONSTRAINT payments_refunded_within_captured CHECK (
        refunded >= 0 AND refund_pending >= 0 AND refunded + refund_pending <= captured
    ),
    CONSTRAINT payments_fee_within_captured CHECK (
        fee BETWEEN 0 AND captured AND fee_refunded BETWEEN 0 AND fee
    ),
    CONSTRAINT payments_hold_only_while_open CHECK (
        (capturable > 0) = (state IN ('AUTHORIZED', 'PARTIALLY_CAPTURED'))
    ),
    CONSTRAINT payments_void_has_no_capture CHECK (
        state NOT IN ('VOIDED', 'EXPIRED', 'DECLINED', 'FAILED') OR captured = 0
    ),
    CONSTRAINT payments_decline_has_reason CHECK ((state = 'DECLINED') = (decline_reason <> ''))
) WITH (fillfactor = 80);
COMMENT ON COLUMN payments.payer_previous_id IS
    'The payer''s payment before this one; empty for its first. ListPayments by payer walks it.';
-- Reader: ListPayments by merchant.
CREATE INDEX payments_merchant_idx ON payments (merchant_id, id);
-- Reader: the lane, for the open holds of an account that it loads.
CREATE INDEX payments_open_hold_idx ON payments (payer_account_id) WHERE capturable > 0;
-- Reader: the expiry sweep.
CREATE INDEX payments_hold_expiry_idx ON payments (hold_expires_at) WHERE capturable > 0;

CREATE TABLE transfers (
    id                   text        NOT NULL,
    debit_account_id     text        NOT NULL,
    credit_account_id    text        NOT NULL,
    amount               bigint      NOT NULL,
    currency             text        NOT NULL,
    reason               text        NOT NULL,
    payment_id           text,
    refund_id            text,
    description          text        NOT NULL,
    debit_posted_after   bigint      NOT NULL,
    credit_posted_after  bigint      NOT NULL,
    seq                  bigint      NOT NULL,
    created_at           timestamptz NOT NULL,
    debit_previous_id    text        NOT NULL,
    credit_previous_id   text        NOT NULL,
    CONSTRAINT transfers_pkey PRIMARY KEY (id),
    CONSTRAINT transfers_amount_positive CHECK (amount > 0),
    CONSTRAINT transfers_two_sides CHECK (debit_account_id <> credit_account_id),
    CONSTRAINT transfers_reason_known CHECK (reason IN (
        'CAPTURE', 'FEE', 'REFUND', 'FEE_REFUND', 'TOP_UP', 'PAYOUT', 'PERSON_TO_PERSON'
    ))
);
COMMENT ON TABLE transfers IS
    'Every movement of money, both sides named; never updated or deleted.';
COMMENT ON COLUMN transfers.debit_previous_id IS
    'The transfer before this one that touches the debited account, on either side; empty: none.';
COMMENT ON COLUMN transfers.credit_previous_id IS
    'The transfer before this one that touches the credited account, on either side; empty: none.';

CREATE TABLE account_marks (
    account_id   text NOT NULL,
    transfer_id  text NOT NULL,
    CONSTRAINT account_marks_pkey PRIMARY KEY (account_id, transfer_id)
);
-- Reader: GetBalanceAt.
COMMENT ON TABLE account_marks IS
    'Places in the lists of transfers to begin a walk from: one every 64 versions of an account.';

CREATE TABLE refunds (
    id              text        NOT NULL,
    payment_id      text        NOT NULL,
    state           text        NOT NULL,
    amount          bigint      NOT NULL,
    currency        text        NOT NULL,
    fee_refunded    bigint      NOT NULL,
    description     text        NOT NULL,
    seq             bigint      NOT NULL,
    created_at      timestamptz NOT NULL,
    failure_reason  text        NOT NULL DEFAULT '',
    CONSTRAINT refunds_pkey PRIMARY KEY (id),
    CONSTRAINT refunds_state_known CHECK (state IN ('PENDING', 'SUCCEEDED', 'FAILED')),
    CONSTRAINT refunds_amount_positive CHECK (amount > 0 AND fee_refunded >= 0),
    CONSTRAINT refunds_failure_has_reason CHECK ((state = 'FAILED') = (failure_reason <> ''))
);
COMMENT ON COLUMN refunds.fee_refunded IS
    'While the refund is pending, the part of the fee that will be given back.';
-- Reader: GetPayment.
CREATE INDEX refunds_payment_idx ON refunds (payment_id, id);

CREATE TABLE legs_sent (
    destination  text        NOT NULL,
    number       bigint      NOT NULL,
    seq          bigint      NOT NULL,
    transfer_id  text        NOT NULL,
    payment_id   text        NOT NULL,
    state        text        NOT NULL,
    body         bytea       NOT NULL,
    created_at   timestamptz NOT NULL,
    CONSTRAINT legs_sent_pkey PRIMARY KEY (destination, number),
    CONSTRAINT legs_sent_number_positive CHECK (number > 0),
    CONSTRAINT legs_sent_state_known CHECK (state IN ('', 'SUSPENSE'))
);
COMMENT ON TABLE legs_sent IS
    'What goes to other shards, counted per destination without a gap; carried until it is taken.';
COMMENT ON COLUMN legs_sent.state IS 'SUSPENSE once its money is known to lie in suspense there.';
COMMENT ON COLUMN legs_sent.transfer_id IS 'The transfer that debited it here; empty: no money.';
-- Reader: GetPayment.
CREATE INDEX legs_sent_payment_idx ON legs_sent (payment_id, created_at)
    WHERE payment_id <> '' AND transfer_id <> '';
-- Reader: ListTransfers, for the account on the other side.
CREATE INDEX legs_sent_transfer_idx ON legs_sent (transfer_id) WHERE transfer_id <> '';

CREATE TABLE legs_received (
    source             text        NOT NULL,
    number             bigint      NOT NULL,
    seq                bigint      NOT NULL,
    transfer_id        text        NOT NULL,
    payment_id         text        NOT NULL,
    remote_account_id  text        NOT NULL,
    outcome            text        NOT NULL,
    body               bytea       NOT NULL,
    created_at         timestamptz NOT NULL,
    CONSTRAINT legs_received_pkey PRIMARY KEY (source, number),
    CONSTRAINT legs_received_number_positive CHECK (number > 0),
    CONSTRAINT legs_received_outcome_known CHECK (
        outcome IN ('POSTED', 'SUSPENSE', 'REFUSED', 'NOTED')
    )
);
COMMENT ON TABLE legs_received IS
    'What came from other shards, each number once and none skipped, with what came of it.';
-- Reader: ListTransfers, for the account on the other side.
CREATE INDEX legs_received_transfer_idx ON legs_received (transfer_id) WHERE transfer_id <> '';

CREATE TABLE legs_acknowledged (
    destination  text   NOT NULL,
    number       bigint NOT NULL,
    CONSTRAINT legs_acknowledged_pkey PRIMARY KEY (destination),
    CONSTRAINT legs_acknowledged_number_positive CHECK (number > 0)
) WITH (fillfactor = 10);
COMMENT ON TABLE legs_acknowledged IS
    'Up to which number each destination has confirmed; behind the truth by less than a second.';

CREATE TABLE requests (
    tenant_id    text        NOT NULL,
    request_id   text        NOT NULL,
    method       text        NOT NULL,
    fingerprint  bytea       NOT NULL,
    outcome      bytea       NOT NULL,
    resource_id  text        NOT NULL,
    seq          bigint      NOT NULL,
    created_at   timestamptz NOT NULL,
    CONSTRAINT requests_pkey PRIMARY KEY (tenant_id, request_id),
    CONSTRAINT requests_id_length CHECK (octet_length(request_id) BETWEEN 1 AND 255)
) WITH (fillfactor = 95);
COMMENT ON COLUMN requests.method IS
    'The public method, or TOMBSTONE for an original that was reversed before it arrived.';

CREATE TABLE journal (
    seq            bigint      NOT NULL,
    epoch          bigint      NOT NULL,
    incarnation    text        NOT NULL,
    body           bytea       NOT NULL,
    previous_hash  bytea       NOT NULL,
    hash           bytea       NOT NULL,
    created_at     timestamptz NOT NULL,
    CONSTRAINT journal_pkey PRIMARY KEY (seq),
    CONSTRAINT journal_seq_positive CHECK (seq > 0),
    CONSTRAINT journal_hash_length CHECK (
        octet_length(hash) = 32 AND octet_length(previous_hash) = 32
    )
);
-- The lane has compressed it already.
ALTER TABLE journal ALTER COLUMN body SET STORAGE EXTERNAL;
COMMENT ON TABLE journal IS
    'One row per batch: what the batch wrote and the hash chain. Outbox, audit trail, read token.';
COMMENT ON COLUMN journal.body IS
    'A Zstandard frame of JSON text; the hash covers the frame as it stands here.';

CREATE TABLE api_keys (
    key_id       text        NOT NULL,
    secret_hash  bytea       NOT NULL,
    tenant_id    text        NOT NULL,
    scopes       text[]      NOT NULL,
    merchant_id  text,
    label        text        NOT NULL DEFAULT '',
    created_at   timestamptz NOT NULL DEFAULT now(),
    revoked_at   timestamptz,
    CONSTRAINT api_keys_pkey PRIMARY KEY (key_id),
    CONSTRAINT api_keys_tenant_form CHECK (tenant_id ~ '^[a-z][a-z0-9-]{0,31}$'),
    CONSTRAINT api_keys_scopes_known CHECK (
        cardinality(scopes) > 0 AND scopes <@ ARRAY['merchant', 'service', 'operator']
    ),
    CONSTRAINT api_keys_merchant_scope_has_merchant CHECK (
        ('merchant' = ANY(scopes)) = (merchant_id IS NOT NULL)
    )
);
COMMENT ON COLUMN api_keys.secret_hash IS
    'HMAC-SHA-256 of the secret under the pepper; never the secret.';
