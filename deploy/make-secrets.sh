#!/bin/sh
# Makes the secrets of docker-compose.yml that can be made; those that exist stay. The two of Stripe are yours to write.
set -eu
umask 077
mkdir -p "$(dirname "$0")/secrets"
cd "$(dirname "$0")/secrets"
fresh() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
[ -s postgres_password ] || fresh > postgres_password
[ -s database_url ] || printf 'postgresql://perennial:%s@postgres:5432/perennial\n' "$(cat postgres_password)" > database_url
[ -s admin_key ] || printf 'prn_admin_%s\n' "$(fresh)" > admin_key
# The folder is closed; in the containers each file is read by the user that the process runs as.
chmod 644 postgres_password database_url admin_key
for name in stripe_api_key stripe_webhook_secret; do
    [ -s "$name" ] || echo "still to be written: deploy/secrets/$name" >&2
done
