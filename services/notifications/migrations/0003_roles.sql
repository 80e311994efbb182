-- What the service may do in its own database, and no more.

DO $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'tender_notifications') THEN
        CREATE ROLE tender_notifications NOLOGIN;
    END IF;
END
$$;

GRANT USAGE ON SCHEMA public TO tender_notifications;
GRANT SELECT, INSERT, DELETE ON inbox TO tender_notifications;
-- Rows to be forgotten are locked before they are deleted.
GRANT UPDATE (handled_at) ON inbox TO tender_notifications;
GRANT SELECT, INSERT, UPDATE ON account_owners, merchant_names TO tender_notifications;
GRANT SELECT, INSERT, UPDATE, DELETE
    ON contacts, unowned_events, notifications
    TO tender_notifications;
-- Versions of templates are never changed.
GRANT SELECT, INSERT ON templates TO tender_notifications;
