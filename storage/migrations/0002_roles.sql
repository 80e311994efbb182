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
    ON lanes, accounts, merchants, payments, transfers, account_marks, refunds, requests, journal
    TO tender_lane, tender_reader;
GRANT SELECT ON api_keys TO tender_reader;

GRANT INSERT, UPDATE ON lanes, accounts, merchants, payments TO tender_lane;
GRANT INSERT, UPDATE, DELETE ON requests TO tender_lane;
GRANT INSERT ON transfers, account_marks, refunds, journal TO tender_lane;
