# shellcheck shell=sh
# Runs databases.sql inside the container as the administrator, after asking whether the roles can log in over TCP.
# $1: the SQL. Only sh and psql: the official image is Alpine.
export PGCONNECT_TIMEOUT=5
# The first line: where a login over TLS is refused, psql tries without, and a server that wants TLS has no entry for that.
refusal() {
    PGPASSWORD="$2" psql -qAt -h 127.0.0.1 -U "$1" -d "$DATABASE" -c '' 2>&1 >/dev/null | head -n 1
}
OWNER_REFUSAL=$(refusal "$OWNER" "$OWNER_PASSWORD")
RUNTIME_REFUSAL=$(refusal "$RUNTIME" "$RUNTIME_PASSWORD")
MONITOR_REFUSAL=
if [ -n "$MONITOR" ]; then MONITOR_REFUSAL=$(refusal "$MONITOR" "$MONITOR_PASSWORD"); fi
export OWNER_REFUSAL RUNTIME_REFUSAL MONITOR_REFUSAL
printf '%s\n' "$1" | PGOPTIONS='-c client_min_messages=error' psql -qX -U postgres -d postgres -f -
