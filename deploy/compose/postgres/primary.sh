#!/bin/sh
# Runs once, on an empty primary, from the image's /docker-entrypoint-initdb.d: logins and the slot of the
# replica. The tables come from `tender migrate`.
set -eu

secret() {
    cat "/run/secrets/$1"
}

# Passwords are hexadecimal (secrets.sh), so nothing here needs quoting.
psql --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<SQL
CREATE ROLE tender_lane NOLOGIN;
CREATE ROLE tender_reader NOLOGIN;
CREATE ROLE tender_publisher NOLOGIN;
CREATE ROLE tender_notifications NOLOGIN;
CREATE ROLE tender_webhooks NOLOGIN;
CREATE ROLE tender_reporting NOLOGIN;
CREATE ROLE tender_operations NOLOGIN;
CREATE ROLE tender_processor LOGIN PASSWORD '$(secret postgres_processor_password)' IN ROLE tender_lane;
CREATE ROLE tender_query LOGIN PASSWORD '$(secret postgres_query_password)' IN ROLE tender_reader;
CREATE ROLE tender_relay LOGIN PASSWORD '$(secret postgres_relay_password)' IN ROLE tender_publisher;
CREATE ROLE tender_notifications_server LOGIN PASSWORD '$(secret postgres_notifications_password)' IN ROLE tender_notifications;
CREATE ROLE tender_webhooks_server LOGIN PASSWORD '$(secret postgres_webhooks_password)' IN ROLE tender_webhooks;
CREATE ROLE tender_reporting_server LOGIN PASSWORD '$(secret postgres_reporting_password)' IN ROLE tender_reporting;
CREATE ROLE tender_operations_server LOGIN PASSWORD '$(secret postgres_operations_password)' IN ROLE tender_operations;
CREATE ROLE tender_replication LOGIN REPLICATION PASSWORD '$(secret postgres_replication_password)';
SELECT pg_create_physical_replication_slot('replica1', TRUE);
CREATE EXTENSION pg_stat_statements;
SQL
echo 'host replication tender_replication all scram-sha-256' >>"$PGDATA/pg_hba.conf"
