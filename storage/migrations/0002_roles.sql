-- Who may touch what: only the lane writes money, readers only read, nobody rewrites the ledger.

DO $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'tender_lane') THEN
        CREATE ROLE tender_lane NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'tender_reader') THEN
        CREATE ROLE tender_reader NOLOGIN;
    END IF;
END
$$;

GRANT USAGE ON SCHEMA public TO tender_lane, tender_reader;
GRANT SELECT
    ON lanes, accounts, merchants, payments, transfers, account_marks, refunds, requests, journal,
       legs_sent, legs_received, legs_acknowledged
    TO tender_lane, tender_reader;
GRANT SELECT ON api_keys TO tender_reader;

GRANT INSERT, UPDATE ON lanes, accounts, merchants, payments TO tender_lane;
GRANT INSERT, UPDATE, DELETE ON requests TO tender_lane;
GRANT INSERT ON transfers, account_marks, refunds, journal, legs_sent, legs_received TO tender_lane;
GRANT INSERT, UPDATE ON legs_acknowledged TO tender_lane;
GRANT UPDATE (state, fee_refunded, failure_reason) ON refunds TO tender_lane;
GRANT UPDATE (state) ON legs_sent TO tender_lane;
