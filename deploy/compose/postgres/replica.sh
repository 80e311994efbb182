#!/bin/sh
# Starts the streaming replica: copies the primary if there is nothing yet, then follows it. It runs as
# the user postgres.
set -eu

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    # A copy that was broken off is begun anew.
    rm -rf "$PGDATA"
    PGPASSWORD=$(cat /run/secrets/postgres_replication_password)
    export PGPASSWORD
    pg_basebackup --pgdata "$PGDATA.new" --host postgres-primary --username tender_replication \
        --slot replica1 --wal-method stream --checkpoint fast --write-recovery-conf --no-password
    unset PGPASSWORD
    chmod 700 "$PGDATA.new"
    mv "$PGDATA.new" "$PGDATA"
fi
exec postgres "$@"
