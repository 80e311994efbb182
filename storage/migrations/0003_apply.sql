-- The one statement with which a lane commits a batch. Everything that matters is checked again here,
-- so a lane that lost its ownership or decided on stale state changes nothing.
--
-- SQLSTATEs: TN001 not the owner, TN002 not the next journal row, TN003 a version differs,
-- TN004 a request key is missing or taken, TN005 a leg's number does not follow, TN006 the shard's
-- buckets are not those that the batch was decided with.
--
-- Arrays are unnested in select lists: in FROM, each of them would first be written into a store of
-- its own and read back, an eighth of the whole apply.

CREATE FUNCTION check_lane_v1(
    p_shard text, p_epoch bigint, p_owner text, p_incarnation text
) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    -- The share lock makes a successor's takeover wait for this transaction, and this transaction
    -- see a takeover that came first.
    PERFORM 1 FROM lanes
     WHERE shard = p_shard AND epoch = p_epoch AND owner = p_owner AND incarnation = p_incarnation
       FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'lane is owned by another' USING ERRCODE = 'TN001';
    END IF;
END
$$;

CREATE FUNCTION apply_rare_v1(
    p_shard text, p_rare jsonb, p_seq bigint, p_now timestamptz
) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_rows integer;
    v_new integer;
BEGIN
    -- Merchants, new (expected 0) and changed. Copies have the times of their home.
    IF jsonb_array_length(p_rare -> 'merchants') > 0 THEN
        INSERT INTO merchants (
            id, tenant_id, reference, display_name, state, settlement_terms, version, created_at,
            updated_at
        )
        SELECT n.id, n.tenant_id, n.reference, n.display_name, n.state, n.settlement_terms,
               n.version, timestamptz 'epoch' + n.created_us * interval '1 microsecond',
               timestamptz 'epoch' + n.updated_us * interval '1 microsecond'
          FROM jsonb_to_recordset(p_rare -> 'merchants') AS n (
                id text, expected bigint, tenant_id text, reference text, display_name text,
                state text, settlement_terms text, version bigint, created_us bigint,
                updated_us bigint
               )
         WHERE n.expected = 0;
        GET DIAGNOSTICS v_new = ROW_COUNT;
        UPDATE merchants AS m
           SET display_name = n.display_name, state = n.state,
               settlement_terms = n.settlement_terms, version = n.version,
               updated_at = timestamptz 'epoch' + n.updated_us * interval '1 microsecond'
          FROM jsonb_to_recordset(p_rare -> 'merchants') AS n (
                id text, expected bigint, display_name text, state text, settlement_terms text,
                version bigint, updated_us bigint
               )
         WHERE n.expected > 0 AND m.id = n.id AND m.version = n.expected;
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        IF v_rows + v_new <> jsonb_array_length(p_rare -> 'merchants') THEN
            RAISE EXCEPTION 'a merchant has another version' USING ERRCODE = 'TN003';
        END IF;
    END IF;

    -- The shard's buckets: each version follows the one before.
    IF jsonb_array_length(p_rare -> 'buckets') > 0 THEN
        INSERT INTO lane_buckets AS b (shard, region, version, ranges)
        SELECT p_shard, n.region, n.version, n.ranges
          FROM jsonb_to_recordset(p_rare -> 'buckets') AS n (
                region text, version bigint, ranges text
               )
         WHERE n.version = 1 OR EXISTS (SELECT 1 FROM lane_buckets AS o WHERE o.shard = p_shard)
            ON CONFLICT (shard) DO UPDATE
           SET version = excluded.version, ranges = excluded.ranges
         WHERE b.version = excluded.version - 1 AND b.region = excluded.region;
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        IF v_rows <> 1 THEN
            RAISE EXCEPTION 'the shard has other buckets' USING ERRCODE = 'TN006';
        END IF;
    END IF;

    -- Old request keys to delete.
    IF jsonb_array_length(p_rare -> 'deleted_keys') > 0 THEN
        DELETE FROM requests AS r
         USING jsonb_to_recordset(p_rare -> 'deleted_keys') AS k (tenant_id text, request_id text)
         WHERE r.tenant_id = k.tenant_id AND r.request_id = k.request_id;
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        IF v_rows <> jsonb_array_length(p_rare -> 'deleted_keys') THEN
            RAISE EXCEPTION 'a request key is missing or taken' USING ERRCODE = 'TN004';
        END IF;
    END IF;

    -- Refunds that were pending and are no longer.
    IF jsonb_array_length(p_rare -> 'settled') > 0 THEN
        UPDATE refunds AS r
           SET state = n.state, fee_refunded = n.fee_refunded, failure_reason = n.failure_reason
          FROM jsonb_to_recordset(p_rare -> 'settled') AS n (
                id text, state text, fee_refunded bigint, failure_reason text
               )
         WHERE r.id = n.id AND r.state = 'PENDING';
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        IF v_rows <> jsonb_array_length(p_rare -> 'settled') THEN
            RAISE EXCEPTION 'a refund is not pending' USING ERRCODE = 'TN003';
        END IF;
    END IF;

    -- Legs: a number is taken only where the one before is there.
    IF jsonb_array_length(p_rare -> 'sent') > 0 THEN
        INSERT INTO legs_sent (
            destination, number, seq, transfer_id, payment_id, state, body, created_at
        )
        SELECT n.destination, n.number, p_seq, n.transfer_id, n.payment_id, '',
               convert_to(n.text, 'UTF8'), p_now
          FROM jsonb_to_recordset(p_rare -> 'sent') AS n (
                destination text, number bigint, transfer_id text, payment_id text, text text
               );
        PERFORM 1
           FROM jsonb_to_recordset(p_rare -> 'sent') AS n (destination text, number bigint)
          WHERE n.number > 1
            AND NOT EXISTS (
                    SELECT 1 FROM legs_sent AS b
                     WHERE b.destination = n.destination AND b.number = n.number - 1
                );
        IF FOUND THEN
            RAISE EXCEPTION 'a leg that is sent does not follow' USING ERRCODE = 'TN005';
        END IF;
    END IF;
    IF jsonb_array_length(p_rare -> 'received') > 0 THEN
        INSERT INTO legs_received (
            source, number, seq, transfer_id, payment_id, remote_account_id, outcome, body,
            created_at
        )
        SELECT n.source, n.number, p_seq, n.transfer_id, n.payment_id, n.remote_account_id,
               n.outcome, convert_to(n.text, 'UTF8'), p_now
          FROM jsonb_to_recordset(p_rare -> 'received') AS n (
                source text, number bigint, transfer_id text, payment_id text,
                remote_account_id text, outcome text, text text
               );
        PERFORM 1
           FROM jsonb_to_recordset(p_rare -> 'received') AS n (source text, number bigint)
          WHERE n.number > 1
            AND NOT EXISTS (
                    SELECT 1 FROM legs_received AS b
                     WHERE b.source = n.source AND b.number = n.number - 1
                );
        IF FOUND THEN
            RAISE EXCEPTION 'a leg that is received does not follow' USING ERRCODE = 'TN005';
        END IF;
    END IF;
    IF jsonb_array_length(p_rare -> 'suspended') > 0 THEN
        UPDATE legs_sent AS s
           SET state = 'SUSPENSE'
          FROM jsonb_to_recordset(p_rare -> 'suspended') AS n (destination text, number bigint)
         WHERE s.destination = n.destination AND s.number = n.number;
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        IF v_rows <> jsonb_array_length(p_rare -> 'suspended') THEN
            RAISE EXCEPTION 'a leg was never sent' USING ERRCODE = 'TN005';
        END IF;
    END IF;
    IF jsonb_array_length(p_rare -> 'acknowledged') > 0 THEN
        INSERT INTO legs_acknowledged AS a (destination, number)
        SELECT n.destination, n.number
          FROM jsonb_to_recordset(p_rare -> 'acknowledged') AS n (destination text, number bigint)
         WHERE EXISTS (
                SELECT 1 FROM legs_sent AS s
                 WHERE s.destination = n.destination AND s.number = n.number
               )
            ON CONFLICT (destination) DO UPDATE
           SET number = greatest(a.number, excluded.number);
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        IF v_rows <> jsonb_array_length(p_rare -> 'acknowledged') THEN
            RAISE EXCEPTION 'a leg was never sent' USING ERRCODE = 'TN005';
        END IF;
    END IF;
END
$$;
COMMENT ON FUNCTION apply_rare_v1 IS 'The part of apply_batch_v1 that most batches do without.';

CREATE FUNCTION apply_batch_v1(
    p_shard text, p_epoch bigint, p_owner text, p_incarnation text,
    p_seq bigint, p_previous_hash bytea, p_hash bytea, p_body bytea, p_now timestamptz,
    p_buckets_version bigint,
    -- New accounts.
    p_na_id text[], p_na_tenant_id text[], p_na_user_id text[], p_na_kind text[],
    p_na_currency text[], p_na_state text[], p_na_posted bigint[], p_na_held bigint[],
    p_na_floor bigint[], p_na_version bigint[], p_na_last_transfer_id text[],
    p_na_last_payment_id text[],
    -- Changed accounts: the version they had and what they become.
    p_ca_id text[], p_ca_expected bigint[], p_ca_version bigint[], p_ca_state text[],
    p_ca_posted bigint[], p_ca_held bigint[], p_ca_last_transfer_id text[],
    p_ca_last_payment_id text[],
    -- New payments.
    p_np_id text[], p_np_tenant_id text[], p_np_merchant_id text[], p_np_payer_account_id text[],
    p_np_settlement_account_id text[], p_np_state text[], p_np_capture_method text[],
    p_np_decline_reason text[], p_np_currency text[], p_np_amount bigint[], p_np_captured bigint[],
    p_np_capturable bigint[], p_np_refunded bigint[], p_np_refund_pending bigint[],
    p_np_fee bigint[], p_np_fee_refunded bigint[], p_np_fee_basis_points integer[],
    p_np_fee_fixed bigint[], p_np_fee_refund_policy text[], p_np_hold_expires_us bigint[],
    p_np_description text[], p_np_metadata text[], p_np_version bigint[],
    p_np_payer_previous_id text[],
    -- Changed payments.
    p_cp_id text[], p_cp_expected bigint[], p_cp_version bigint[], p_cp_state text[],
    p_cp_captured bigint[], p_cp_capturable bigint[], p_cp_refunded bigint[],
    p_cp_refund_pending bigint[], p_cp_fee bigint[], p_cp_fee_refunded bigint[],
    -- Transfers.
    p_tr_id text[], p_tr_debit_account_id text[], p_tr_credit_account_id text[],
    p_tr_amount bigint[], p_tr_currency text[], p_tr_reason text[], p_tr_payment_id text[],
    p_tr_refund_id text[], p_tr_description text[], p_tr_debit_posted_after bigint[],
    p_tr_credit_posted_after bigint[], p_tr_debit_previous_id text[],
    p_tr_credit_previous_id text[],
    -- Refunds.
    p_re_id text[], p_re_payment_id text[], p_re_state text[], p_re_amount bigint[],
    p_re_currency text[], p_re_fee_refunded bigint[], p_re_description text[],
    -- Request keys: new, and tombstones that get their answer.
    p_rk_tenant_id text[], p_rk_request_id text[], p_rk_method text[], p_rk_fingerprint bytea[],
    p_rk_outcome bytea[], p_rk_resource_id text[], p_rk_fulfils boolean[],
    -- All that most batches have nothing of; see apply_rare_v1.
    p_rare jsonb
) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_rows integer;
    v_fulfilled integer;
BEGIN
    PERFORM check_lane_v1(p_shard, p_epoch, p_owner, p_incarnation);

    INSERT INTO journal (seq, epoch, incarnation, body, previous_hash, hash, created_at)
    SELECT p_seq, p_epoch, p_incarnation, p_body, p_previous_hash, p_hash, p_now
     WHERE EXISTS (SELECT 1 FROM journal WHERE seq = p_seq - 1 AND hash = p_previous_hash)
        OR (p_seq = 1 AND NOT EXISTS (SELECT 1 FROM journal));
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    IF v_rows <> 1 THEN
        RAISE EXCEPTION 'journal row % does not follow', p_seq USING ERRCODE = 'TN002';
    END IF;

    IF p_buckets_version <> coalesce(
        (SELECT b.version FROM lane_buckets AS b WHERE b.shard = p_shard), 0
    ) THEN
        RAISE EXCEPTION 'the shard has other buckets' USING ERRCODE = 'TN006';
    END IF;

    IF cardinality(p_rk_request_id) > 0 THEN
        INSERT INTO requests (
            tenant_id, request_id, method, fingerprint, outcome, resource_id, seq, created_at
        )
        SELECT k.tenant_id, k.request_id, k.method, k.fingerprint, k.outcome, k.resource_id, p_seq, p_now
          FROM (SELECT unnest(p_rk_tenant_id) AS tenant_id, unnest(p_rk_request_id) AS request_id,
                       unnest(p_rk_method) AS method, unnest(p_rk_fingerprint) AS fingerprint,
                       unnest(p_rk_outcome) AS outcome, unnest(p_rk_resource_id) AS resource_id,
                       unnest(p_rk_fulfils) AS fulfils) AS k
         WHERE NOT k.fulfils;
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        v_fulfilled := 0;
        IF v_rows <> cardinality(p_rk_request_id) THEN
            UPDATE requests AS r
               SET method = k.method, fingerprint = k.fingerprint, outcome = k.outcome,
                   resource_id = k.resource_id, seq = p_seq
              FROM (SELECT unnest(p_rk_tenant_id) AS tenant_id,
                           unnest(p_rk_request_id) AS request_id, unnest(p_rk_method) AS method,
                           unnest(p_rk_fingerprint) AS fingerprint,
                           unnest(p_rk_outcome) AS outcome,
                           unnest(p_rk_resource_id) AS resource_id,
                           unnest(p_rk_fulfils) AS fulfils) AS k
             WHERE k.fulfils AND r.tenant_id = k.tenant_id AND r.request_id = k.request_id
               AND r.method = 'TOMBSTONE';
            GET DIAGNOSTICS v_fulfilled = ROW_COUNT;
        END IF;
        IF v_rows + v_fulfilled <> cardinality(p_rk_request_id) THEN
            RAISE EXCEPTION 'a request key is missing or taken' USING ERRCODE = 'TN004';
        END IF;
    END IF;

    IF cardinality(p_na_id) > 0 THEN
        INSERT INTO accounts (
            id, tenant_id, user_id, kind, currency, state, posted, held, floor, version,
            created_at, updated_at, last_transfer_id, last_payment_id
        )
        SELECT n.id, n.tenant_id, n.user_id, n.kind, n.currency, n.state, n.posted, n.held,
               n.floor, n.version, p_now, p_now, n.last_transfer_id, n.last_payment_id
          FROM (SELECT unnest(p_na_id) AS id, unnest(p_na_tenant_id) AS tenant_id,
                       unnest(p_na_user_id) AS user_id, unnest(p_na_kind) AS kind,
                       unnest(p_na_currency) AS currency, unnest(p_na_state) AS state,
                       unnest(p_na_posted) AS posted, unnest(p_na_held) AS held,
                       unnest(p_na_floor) AS floor, unnest(p_na_version) AS version,
                       unnest(p_na_last_transfer_id) AS last_transfer_id,
                       unnest(p_na_last_payment_id) AS last_payment_id) AS n;
    END IF;

    IF cardinality(p_ca_id) > 0 THEN
        UPDATE accounts AS a
           SET version = n.version, state = n.state, posted = n.posted, held = n.held,
               updated_at = p_now, last_transfer_id = n.last_transfer_id,
               last_payment_id = n.last_payment_id
          FROM (SELECT unnest(p_ca_id) AS id, unnest(p_ca_expected) AS expected,
                       unnest(p_ca_version) AS version, unnest(p_ca_state) AS state,
                       unnest(p_ca_posted) AS posted, unnest(p_ca_held) AS held,
                       unnest(p_ca_last_transfer_id) AS last_transfer_id,
                       unnest(p_ca_last_payment_id) AS last_payment_id) AS n
         WHERE a.id = n.id AND a.version = n.expected;
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        IF v_rows <> cardinality(p_ca_id) THEN
            RAISE EXCEPTION 'an account has another version' USING ERRCODE = 'TN003';
        END IF;

        -- A mark every 64 versions keeps every walk to a past balance short. Nothing may have moved
        -- since the mark before: then it is there already.
        INSERT INTO account_marks (account_id, transfer_id)
        SELECT n.id, n.last_transfer_id
          FROM (SELECT unnest(p_ca_id) AS id, unnest(p_ca_expected) AS expected,
                       unnest(p_ca_version) AS version,
                       unnest(p_ca_last_transfer_id) AS last_transfer_id) AS n
         WHERE n.version / 64 <> n.expected / 64 AND n.last_transfer_id <> ''
            ON CONFLICT DO NOTHING;
    END IF;

    IF cardinality(p_np_id) > 0 THEN
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
               n.description, n.metadata, n.version, p_now, p_now, n.payer_previous_id
          FROM (SELECT unnest(p_np_id) AS id, unnest(p_np_tenant_id) AS tenant_id,
                       unnest(p_np_merchant_id) AS merchant_id,
                       unnest(p_np_payer_account_id) AS payer_account_id,
                       unnest(p_np_settlement_account_id) AS settlement_account_id,
                       unnest(p_np_state) AS state, unnest(p_np_capture_method) AS capture_method,
                       unnest(p_np_decline_reason) AS decline_reason,
                       unnest(p_np_currency) AS currency, unnest(p_np_amount) AS amount,
                       unnest(p_np_captured) AS captured, unnest(p_np_capturable) AS capturable,
                       unnest(p_np_refunded) AS refunded,
                       unnest(p_np_refund_pending) AS refund_pending, unnest(p_np_fee) AS fee,
                       unnest(p_np_fee_refunded) AS fee_refunded,
                       unnest(p_np_fee_basis_points) AS fee_basis_points,
                       unnest(p_np_fee_fixed) AS fee_fixed,
                       unnest(p_np_fee_refund_policy) AS fee_refund_policy,
                       unnest(p_np_hold_expires_us) AS hold_expires_us,
                       unnest(p_np_description) AS description, unnest(p_np_metadata) AS metadata,
                       unnest(p_np_version) AS version,
                       unnest(p_np_payer_previous_id) AS payer_previous_id) AS n;
    END IF;

    IF cardinality(p_cp_id) > 0 THEN
        UPDATE payments AS p
           SET version = n.version, state = n.state, captured = n.captured,
               capturable = n.capturable, refunded = n.refunded,
               refund_pending = n.refund_pending, fee = n.fee, fee_refunded = n.fee_refunded,
               updated_at = p_now
          FROM (SELECT unnest(p_cp_id) AS id, unnest(p_cp_expected) AS expected,
                       unnest(p_cp_version) AS version, unnest(p_cp_state) AS state,
                       unnest(p_cp_captured) AS captured, unnest(p_cp_capturable) AS capturable,
                       unnest(p_cp_refunded) AS refunded,
                       unnest(p_cp_refund_pending) AS refund_pending, unnest(p_cp_fee) AS fee,
                       unnest(p_cp_fee_refunded) AS fee_refunded) AS n
         WHERE p.id = n.id AND p.version = n.expected;
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        IF v_rows <> cardinality(p_cp_id) THEN
            RAISE EXCEPTION 'a payment has another version' USING ERRCODE = 'TN003';
        END IF;
    END IF;

    IF cardinality(p_tr_id) > 0 THEN
        INSERT INTO transfers (
            id, debit_account_id, credit_account_id, amount, currency, reason, payment_id,
            refund_id, description, debit_posted_after, credit_posted_after, seq, created_at,
            debit_previous_id, credit_previous_id
        )
        SELECT n.id, n.debit_account_id, n.credit_account_id, n.amount, n.currency, n.reason,
               n.payment_id, n.refund_id, n.description, n.debit_posted_after,
               n.credit_posted_after, p_seq, p_now, n.debit_previous_id, n.credit_previous_id
          FROM (SELECT unnest(p_tr_id) AS id, unnest(p_tr_debit_account_id) AS debit_account_id,
                       unnest(p_tr_credit_account_id) AS credit_account_id,
                       unnest(p_tr_amount) AS amount, unnest(p_tr_currency) AS currency,
                       unnest(p_tr_reason) AS reason, unnest(p_tr_payment_id) AS payment_id,
                       unnest(p_tr_refund_id) AS refund_id,
                       unnest(p_tr_description) AS description,
                       unnest(p_tr_debit_posted_after) AS debit_posted_after,
                       unnest(p_tr_credit_posted_after) AS credit_posted_after,
                       unnest(p_tr_debit_previous_id) AS debit_previous_id,
                       unnest(p_tr_credit_previous_id) AS credit_previous_id) AS n;
    END IF;

    IF cardinality(p_re_id) > 0 THEN
        INSERT INTO refunds (
            id, payment_id, state, amount, currency, fee_refunded, description, seq, created_at
        )
        SELECT n.id, n.payment_id, n.state, n.amount, n.currency, n.fee_refunded, n.description,
               p_seq, p_now
          FROM (SELECT unnest(p_re_id) AS id, unnest(p_re_payment_id) AS payment_id,
                       unnest(p_re_state) AS state, unnest(p_re_amount) AS amount,
                       unnest(p_re_currency) AS currency,
                       unnest(p_re_fee_refunded) AS fee_refunded,
                       unnest(p_re_description) AS description) AS n;
    END IF;

    IF p_rare IS NOT NULL THEN
        PERFORM apply_rare_v1(p_shard, p_rare, p_seq, p_now);
    END IF;
END
$$;
-- PostgreSQL allows 100 arguments; what is rare shares one, so that 8 are left.
