#!/bin/sh
# Makes Temporal's two databases and brings them to the schema of the admin-tools' version. A second run changes nothing.
set -eu
SQL_PASSWORD="$(cat /run/secrets/postgres_password)"
export SQL_PASSWORD
for pair in temporal:temporal temporal_visibility:visibility; do
    database="${pair%%:*}"
    schema="/etc/temporal/schema/postgresql/v12/${pair##*:}/versioned"
    tool() { temporal-sql-tool --plugin postgres12 --ep "$SQL_HOST" -p 5432 -u "$SQL_USER" --db "$database" "$@"; }
    # Both are refused where it is there already; then the update says what is the matter.
    tool create || true
    tool setup-schema -v 0.0 || true
    tool update-schema -d "$schema"
done
