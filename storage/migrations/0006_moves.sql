-- Buckets move with their users: payments, refunds and request keys are copied ahead, money and
-- accounts follow as legs. Copies are no truth before the bucket is the shard's.

CREATE TABLE bucket_copies (
    bucket       text    NOT NULL,
    source       text    NOT NULL,
    incarnation  text    NOT NULL,
    seq          bigint  NOT NULL,
    place        text    NOT NULL,
    CONSTRAINT bucket_copies_pkey PRIMARY KEY (bucket),
    CONSTRAINT bucket_copies_seq_not_negative CHECK (seq >= 0)
) WITH (fillfactor = 50);
COMMENT ON TABLE bucket_copies IS
    'How far the copy of each bucket of another shard is; written with the copied rows.';
COMMENT ON COLUMN bucket_copies.seq IS
    'What the source had committed up to here is copied, once the place is empty.';
COMMENT ON COLUMN bucket_copies.place IS
    'JSON: where the first walk through the source''s tables stands; empty once it is over.';

CREATE TABLE legs_moved (
    source       text        NOT NULL,
    destination  text        NOT NULL,
    number       bigint      NOT NULL,
    payment_id   text        NOT NULL,
    state        text        NOT NULL,
    body         bytea       NOT NULL,
    created_at   timestamptz NOT NULL,
    CONSTRAINT legs_moved_pkey PRIMARY KEY (source, destination, number),
    CONSTRAINT legs_moved_state_known CHECK (state IN ('', 'SUSPENSE'))
);
COMMENT ON TABLE legs_moved IS
    'Legs with money of payments that came from the shards that sent them; only shown, never sent.';
-- Reader: GetPayment.
CREATE INDEX legs_moved_payment_idx ON legs_moved (payment_id);

GRANT SELECT ON bucket_copies, legs_moved TO tender_lane, tender_reader;
GRANT INSERT, UPDATE ON bucket_copies, legs_moved TO tender_lane;

-- Wider than before, so that the rows that are there need not be looked at.
ALTER TABLE transfers DROP CONSTRAINT transfers_reason_known;
ALTER TABLE transfers ADD CONSTRAINT transfers_reason_known CHECK (reason IN (
    'CAPTURE', 'FEE', 'REFUND', 'FEE_REFUND', 'TOP_UP', 'PAYOUT', 'PERSON_TO_PERSON', 'BUCKET_MOVE'
)) NOT VALID;
ALTER TABLE legs_received DROP CONSTRAINT legs_received_outcome_known;
ALTER TABLE legs_received ADD CONSTRAINT legs_received_outcome_known CHECK (
    outcome IN ('POSTED', 'SUSPENSE', 'REFUSED', 'NOTED', 'SENT_ON')
) NOT VALID;

CREATE FUNCTION apply_copied_v1(
    p_copied jsonb, p_seq bigint, p_now timestamptz
) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_rows integer;
    v_new integer;
BEGIN
    -- Accounts that come from another shard keep the time at which they were opened.
    INSERT INTO accounts (
        id, tenant_id, user_id, kind, currency, state, posted, held, floor, version, created_at,
        updated_at, last_transfer_id, last_payment_id
    )
    SELECT n.id, n.tenant_id, n.user_id, n.kind, n.currency, n.state, n.posted, n.held, n.floor,
           n.version, timestamptz 'epoch' + n.created_us * interval '1 microsecond', p_now,
           n.last_transfer_id, n.last_payment_id
      FROM jsonb_to_recordset(p_copied -> 'accounts') AS n (
            id text, tenant_id text, user_id text, kind text, currency text, state text,
            posted bigint, held bigint, floor bigint, version bigint, created_us bigint,
            last_transfer_id text, last_payment_id text
           );

    -- Payments, new (expected 0) and changed, with the times of their source.
    IF jsonb_array_length(p_copied -> 'payments') > 0 THEN
        INSERT INTO payments (
            id, tenant_id, merchant_id, payer_account_id, settlement_account_id, state,
            capture_method, decline_reason, currency, amount, captured, capturable, refunded,
            refund_pending, fee, fee_refunded, fee_basis_points, fee_fixed, fee_refund_policy,
            hold_expires_at, description, metadata, version, created_at, updated_at,
            payer_previous_id
        )
        SELECT n.id, n.tenant_id, n.merchant_id, n.payer_account_id, n.settlement_account_id,
               n.state, n.capture_method, n.decline_reason, n.currency, n.amount, n.captured,
               n.capturable, n.refunded, n.refund_pending, n.fee, n.fee_refunded,
               n.fee_basis_points, n.fee_fixed, n.fee_refund_policy,
               timestamptz 'epoch' + n.hold_expires_us * interval '1 microsecond',
               n.description, n.metadata, n.version,
               timestamptz 'epoch' + n.created_us * interval '1 microsecond',
               timestamptz 'epoch' + n.updated_us * interval '1 microsecond',
               n.payer_previous_id
          FROM jsonb_to_recordset(p_copied -> 'payments') AS n (
                id text, expected bigint, tenant_id text, merchant_id text, payer_account_id text,
                settlement_account_id text, state text, capture_method text, decline_reason text,
                currency text, amount bigint, captured bigint, capturable bigint, refunded bigint,
                refund_pending bigint, fee bigint, fee_refunded bigint, fee_basis_points integer,
                fee_fixed bigint, fee_refund_policy text, hold_expires_us bigint, description text,
                metadata text, version bigint, created_us bigint, updated_us bigint,
                payer_previous_id text
               )
         WHERE n.expected = 0;
        GET DIAGNOSTICS v_new = ROW_COUNT;
        UPDATE payments AS p
           SET version = n.version, state = n.state, captured = n.captured,
               capturable = n.capturable, refunded = n.refunded,
               refund_pending = n.refund_pending, fee = n.fee, fee_refunded = n.fee_refunded,
               updated_at = timestamptz 'epoch' + n.updated_us * interval '1 microsecond'
          FROM jsonb_to_recordset(p_copied -> 'payments') AS n (
                id text, expected bigint, version bigint, state text, captured bigint,
                capturable bigint, refunded bigint, refund_pending bigint, fee bigint,
                fee_refunded bigint, updated_us bigint
               )
         WHERE n.expected > 0 AND p.id = n.id AND p.version = n.expected;
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        IF v_rows + v_new <> jsonb_array_length(p_copied -> 'payments') THEN
            RAISE EXCEPTION 'a copied payment has another version' USING ERRCODE = 'TN003';
        END IF;
    END IF;

    IF jsonb_array_length(p_copied -> 'refunds') > 0 THEN
        INSERT INTO refunds (
            id, payment_id, state, amount, currency, fee_refunded, description, seq, created_at,
            failure_reason
        )
        SELECT n.id, n.payment_id, n.state, n.amount, n.currency, n.fee_refunded, n.description,
               p_seq, timestamptz 'epoch' + n.created_us * interval '1 microsecond',
               n.failure_reason
          FROM jsonb_to_recordset(p_copied -> 'refunds') AS n (
                id text, is_new boolean, payment_id text, state text, amount bigint,
                currency text, fee_refunded bigint, description text, created_us bigint,
                failure_reason text
               )
         WHERE n.is_new;
        GET DIAGNOSTICS v_new = ROW_COUNT;
        UPDATE refunds AS r
           SET state = n.state, fee_refunded = n.fee_refunded, failure_reason = n.failure_reason
          FROM jsonb_to_recordset(p_copied -> 'refunds') AS n (
                id text, is_new boolean, state text, fee_refunded bigint, failure_reason text
               )
         WHERE NOT n.is_new AND r.id = n.id;
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        IF v_rows + v_new <> jsonb_array_length(p_copied -> 'refunds') THEN
            RAISE EXCEPTION 'a copied refund is missing' USING ERRCODE = 'TN003';
        END IF;
    END IF;

    INSERT INTO requests (
        tenant_id, request_id, method, fingerprint, outcome, resource_id, seq, created_at
    )
    SELECT n.tenant_id, n.request_id, n.method, decode(n.fingerprint, 'hex'),
           decode(n.outcome, 'hex'), n.resource_id, p_seq,
           timestamptz 'epoch' + n.created_us * interval '1 microsecond'
      FROM jsonb_to_recordset(p_copied -> 'keys') AS n (
            tenant_id text, request_id text, method text, fingerprint text, outcome text,
            resource_id text, created_us bigint
           );

    INSERT INTO legs_moved (
        source, destination, number, payment_id, state, body, created_at
    )
    SELECT n.source, n.destination, n.number, n.payment_id, n.state, convert_to(n.text, 'UTF8'),
           timestamptz 'epoch' + n.created_us * interval '1 microsecond'
      FROM jsonb_to_recordset(p_copied -> 'legs') AS n (
            source text, destination text, number bigint, payment_id text, state text,
            text text, created_us bigint
           )
        ON CONFLICT (source, destination, number) DO UPDATE SET state = excluded.state;

    INSERT INTO bucket_copies AS b (bucket, source, incarnation, seq, place)
    SELECT n.bucket, n.source, n.incarnation, n.seq, n.place
      FROM jsonb_to_recordset(p_copied -> 'positions') AS n (
            bucket text, source text, incarnation text, seq bigint, place text
           )
        ON CONFLICT (bucket) DO UPDATE
       SET source = excluded.source, incarnation = excluded.incarnation, seq = excluded.seq,
           place = excluded.place;
END
$$;
COMMENT ON FUNCTION apply_copied_v1 IS
    'Run after apply_batch_v1, in one statement with it, by batches with rows of another shard.';
