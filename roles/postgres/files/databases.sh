# Runs databases.sql inside the container as the administrator, after asking whether both roles can log in over TCP.
# $1: the SQL. Only sh and psql: the official image is Alpine.
fails() {
    if PGCONNECT_TIMEOUT=5 PGPASSWORD="$2" psql -qAt -h 127.0.0.1 -U "$1" -d "$DATABASE" -c '' >/dev/null 2>&1; then
        echo false
    else
        echo true
    fi
}
OWNER_FAILS=$(fails "$OWNER" "$OWNER_PASSWORD")
RUNTIME_FAILS=$(fails "$RUNTIME" "$RUNTIME_PASSWORD")
export OWNER_FAILS RUNTIME_FAILS
printf '%s\n' "$1" | PGOPTIONS='-c client_min_messages=error' psql -qX -U postgres -d postgres -f -
