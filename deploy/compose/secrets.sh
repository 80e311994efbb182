#!/bin/sh
# Makes the secrets that deploy/compose.yaml mounts, in deploy/compose/secrets. What is there stays.
#
# The folder is for its owner alone. The files inside can be read by all, because each container has a
# user of its own and engines mount files with the modes that they have here.
set -eu
umask 022
folder=$(cd "$(dirname "$0")" && pwd)/secrets
mkdir -p -m 700 "$folder"

# once NAME: makes the file from standard input, unless it is there.
once() {
    if [ -s "$folder/$1" ]; then
        cat >/dev/null
        return
    fi
    cat >"$folder/$1.new"
    mv "$folder/$1.new" "$folder/$1"
    echo "made $1"
}

random() {
    od -An -N32 -tx1 /dev/urandom | tr -d ' \n'
}

for name in internal_token api_key_pepper webhooks_keys grafana_password \
    postgres_owner_password postgres_processor_password postgres_query_password \
    postgres_relay_password postgres_notifications_password postgres_webhooks_password \
    postgres_reporting_password postgres_operations_password \
    postgres_replication_password; do
    random | once "$name"
done

url() { # url LOGIN PASSWORD_NAME HOST [DATABASE]
    printf 'postgresql://%s:%s@%s:5432/%s?sslmode=disable' \
        "$1" "$(cat "$folder/$2")" "$3" "${4:-tender}"
}

url tender_owner postgres_owner_password postgres-primary | once owner_database_url
url tender_processor postgres_processor_password postgres-primary | once database_url
url tender_query postgres_query_password postgres-primary | once query_database_url
url tender_relay postgres_relay_password postgres-primary | once relay_database_url
url tender_notifications_server postgres_notifications_password postgres-primary \
    tender_notifications | once notifications_database_url
url tender_webhooks_server postgres_webhooks_password postgres-primary tender_webhooks |
    once webhooks_database_url
url tender_reporting_server postgres_reporting_password postgres-primary tender_reporting |
    once reporting_database_url
url tender_operations_server postgres_operations_password postgres-primary tender_operations |
    once operations_database_url
url tender_query postgres_query_password postgres-replica | once replica_database_urls
