#!/bin/sh
# Run a command beside a PostgreSQL server of its own, on loopback, gone afterwards:
#
#   sh scripts/with_postgres.sh make test
#
# The command finds the server's address in D2L_MLP_POSTGRES. Wants Debian's package
# postgresql. Root may not run a server, so that for root it is run by postgres.
set -eu

programs=$(ls -d /usr/lib/postgresql/*/bin 2> /dev/null | sort -V | tail -n 1)
if [ -z "$programs" ]; then
  echo "with_postgres: found no server, expected one: apt-get install postgresql" >&2
  exit 1
fi
folder=$(mktemp -d)
as_owner=""
if [ "$(id -u)" = 0 ]; then
  chown postgres "$folder"
  as_owner="runuser -u postgres --"
fi
cd "$folder"
clean_up() {
  cd /
  $as_owner "$programs/pg_ctl" -D "$folder/data" -m immediate stop > /dev/null 2>&1 || true
  rm -rf "$folder"
}
trap clean_up EXIT
trap 'exit 130' INT TERM
$as_owner "$programs/initdb" -D "$folder/data" -A trust -U d2l > "$folder/log" 2>&1
# A port that nobody has; another process may take it before the server does.
for try in 1 2 3; do
  port=$((20000 + ($(date +%N | sed 's/^0*//') + try) % 20000))
  if $as_owner "$programs/pg_ctl" -D "$folder/data" -l "$folder/server.log" -w \
    -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$folder" \
    start > /dev/null 2>&1; then
    started=$port
    break
  fi
done
if [ -z "${started:-}" ]; then
  echo "with_postgres: the server did not start:" >&2
  cat "$folder/server.log" >&2
  exit 1
fi
cd "$OLDPWD"
export D2L_MLP_POSTGRES="postgresql://d2l@127.0.0.1:$started/postgres"
"$@"
