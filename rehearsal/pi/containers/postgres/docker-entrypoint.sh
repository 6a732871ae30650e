#!/bin/sh
# Starts PostgreSQL as the official image's entry point does, as far as the kit goes: it makes the
# database at the first start, and drops from root to uid 999. The rig's own piece.
set -eu

: "${PGDATA:=/var/lib/postgresql/data}"
export PGDATA

if [ "${1#-}" != "$1" ]; then set -- postgres "$@"; fi
if [ "$1" != postgres ]; then exec "$@"; fi

# As root, like the official one: the secret's file is root's alone.
if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then
  POSTGRES_PASSWORD=$(cat "$POSTGRES_PASSWORD_FILE")
  export POSTGRES_PASSWORD
  unset POSTGRES_PASSWORD_FILE
fi

if [ "$(id -u)" = 0 ]; then
  mkdir -p "$PGDATA" /var/run/postgresql
  chmod 0700 "$PGDATA"
  chown postgres:postgres "$PGDATA" /var/run/postgresql
  find "$PGDATA" ! -user postgres -exec chown postgres:postgres {} +
  exec setpriv --reuid=999 --regid=999 --clear-groups --inh-caps=-all -- "$0" "$@"
fi

if [ ! -s "$PGDATA/PG_VERSION" ]; then
  if [ -z "${POSTGRES_PASSWORD:-}" ]; then
    echo "Error: Database is uninitialized and superuser password is not specified." >&2
    exit 1
  fi
  user=${POSTGRES_USER:-postgres}
  database=${POSTGRES_DB:-$user}
  umask 077
  printf '%s\n' "$POSTGRES_PASSWORD" >/tmp/password
  # Words on purpose: the variable holds several arguments.
  # shellcheck disable=SC2086
  initdb --username="$user" --pwfile=/tmp/password --auth-local=trust --auth-host=scram-sha-256 \
    ${POSTGRES_INITDB_ARGS:-}
  rm /tmp/password
  printf '\nhost all all all scram-sha-256\n' >>"$PGDATA/pg_hba.conf"
  # No address yet: nobody gets in before everything is there.
  pg_ctl -w start -o "-c listen_addresses=''" -l /dev/null
  if [ "$database" != postgres ]; then
    createdb --username="$user" "$database"
  fi
  pg_ctl -m fast -w stop
  echo "PostgreSQL init process complete; ready for start up."
fi
unset POSTGRES_PASSWORD

exec "$@" -c listen_addresses='*'
