#!/bin/bash
# Keeps the contract of the official postgres image: same variables, same places, same order of events.
set -Eeuo pipefail

fail() {
    printf 'docker-entrypoint.sh: %s\n' "$*" >&2
    exit 1
}

# POSTGRES_X may come from the file that POSTGRES_X_FILE names.
read_variable() {
    local name=$1 default=${2:-} file_name=$1_FILE
    if [[ -n ${!name:-} && -n ${!file_name:-} ]]; then
        fail "$name and $file_name are both set; keep one"
    fi
    local value=${!name:-$default}
    if [[ -n ${!file_name:-} ]]; then
        value=$(<"${!file_name}")
    fi
    export "$name=$value"
    unset "$file_name"
}

prepare_directories() {
    mkdir -p "$PGDATA"
    # Not always ours to change, for instance with --user on a prepared volume; initdb and the server check again.
    chmod 0700 "$PGDATA" || :
    mkdir -p /var/run/postgresql || :
    chmod 3777 /var/run/postgresql 2>/dev/null || :
    if [[ -n ${POSTGRES_INITDB_WALDIR:-} ]]; then
        mkdir -p "$POSTGRES_INITDB_WALDIR"
        chmod 0700 "$POSTGRES_INITDB_WALDIR"
    fi
    if ((EUID == 0)); then
        find "$PGDATA" ${POSTGRES_INITDB_WALDIR:+"$POSTGRES_INITDB_WALDIR"} \! -user postgres -exec chown postgres '{}' +
        find /var/run/postgresql -maxdepth 0 \! -user postgres -exec chown postgres '{}' +
    fi
}

require_password_or_trust() {
    if [[ -z $POSTGRES_PASSWORD && $POSTGRES_HOST_AUTH_METHOD != trust ]]; then
        fail "the database is not initialised and POSTGRES_PASSWORD is empty; set it," \
            "or POSTGRES_HOST_AUTH_METHOD=trust to allow every connection without one"
    fi
}

# Made beside and then moved, PG_VERSION last: whatever ends it half-way, the next start begins again.
initialise() {
    local beside=$PGDATA/.initdb
    if [[ -e $beside ]]; then
        printf 'docker-entrypoint.sh: an initialisation was interrupted, beginning again\n'
        find "$PGDATA" ${POSTGRES_INITDB_WALDIR:+"$POSTGRES_INITDB_WALDIR"} -mindepth 1 -delete
    elif [[ -n $(ls -A "$PGDATA") ]]; then
        fail "$PGDATA is not empty and holds no database; empty it, or set PGDATA to a folder below it"
    fi
    local -a arguments=(--pgdata="$beside" --username="$POSTGRES_USER")
    if [[ -n ${POSTGRES_INITDB_WALDIR:-} ]]; then
        arguments+=(--waldir="$POSTGRES_INITDB_WALDIR")
    fi
    # The variable holds shell words, quotes included.
    eval "arguments+=(${POSTGRES_INITDB_ARGS:-})"
    if [[ -n $POSTGRES_PASSWORD ]]; then
        initdb --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") "${arguments[@]}"
    else
        initdb "${arguments[@]}"
    fi
    find "$beside" -mindepth 1 -maxdepth 1 \! -name PG_VERSION -exec mv --target-directory="$PGDATA" '{}' +
    mv "$beside/PG_VERSION" "$PGDATA"
    rmdir "$beside"
}

allow_network() {
    local method=$POSTGRES_HOST_AUTH_METHOD
    if [[ -z $method ]]; then
        method=$(postgres -C password_encryption "$@")
    fi
    printf '\nhost all all all %s\n' "$method" >>"$PGDATA/pg_hba.conf"
}

init_server() {
    local action=$1 options
    shift
    # Later settings win: nobody outside may reach a server that is not ready.
    printf -v options '%q ' "$@" -c listen_addresses= -p "${PGPORT:-5432}"
    if [[ $action == start ]]; then
        NOTIFY_SOCKET='' PGUSER=$POSTGRES_USER pg_ctl -D "$PGDATA" -o "$options" -w start
    else
        PGUSER=$POSTGRES_USER pg_ctl -D "$PGDATA" -m fast -w stop
    fi
}

run_sql() {
    PGHOST='' PGHOSTADDR='' psql -v ON_ERROR_STOP=1 --no-password --no-psqlrc --username "$POSTGRES_USER" "$@"
}

create_database() {
    local found
    found=$(run_sql --dbname postgres --tuples-only --no-align -v db="$POSTGRES_DB" \
        <<<"SELECT 1 FROM pg_database WHERE datname = :'db';")
    if [[ -z $found ]]; then
        run_sql --dbname postgres -v db="$POSTGRES_DB" <<<'CREATE DATABASE :"db";'
    fi
}

run_scripts() {
    local file
    for file in /docker-entrypoint-initdb.d/*; do
        case $file in
            *.sh)
                printf 'docker-entrypoint.sh: running %s\n' "$file"
                # shellcheck source=/dev/null
                if [[ -x $file ]]; then "$file"; else . "$file"; fi
                ;;
            *.sql)
                printf 'docker-entrypoint.sh: running %s\n' "$file"
                run_sql --dbname "$POSTGRES_DB" -f "$file"
                ;;
            *.sql.gz)
                printf 'docker-entrypoint.sh: running %s\n' "$file"
                gunzip -c "$file" | run_sql --dbname "$POSTGRES_DB"
                ;;
            *) if [[ -e $file ]]; then printf 'docker-entrypoint.sh: ignoring %s\n' "$file"; fi ;;
        esac
    done
}

# Help and version need neither data nor another user.
only_asks() {
    local argument
    for argument in "$@"; do
        case $argument in
            -\? | --help | --describe-config | -V | --version | -C) return 0 ;;
        esac
    done
    return 1
}

if [[ ${1:-} == -* ]]; then
    set -- postgres "$@"
fi

if [[ ${1:-} == postgres ]] && ! only_asks "$@"; then
    prepare_directories
    if ((EUID == 0)); then
        export HOME=/var/lib/postgresql
        exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
    fi
    if [[ -s $PGDATA/PG_VERSION ]]; then
        printf 'docker-entrypoint.sh: %s holds a database, nothing to initialise\n' "$PGDATA"
    else
        read_variable POSTGRES_PASSWORD
        read_variable POSTGRES_USER postgres
        read_variable POSTGRES_DB "$POSTGRES_USER"
        read_variable POSTGRES_INITDB_ARGS
        : "${POSTGRES_HOST_AUTH_METHOD:=}"
        require_password_or_trust
        initialise
        allow_network "${@:2}"
        # For whatever the scripts call.
        export PGPASSWORD=${PGPASSWORD:-$POSTGRES_PASSWORD}
        init_server start "${@:2}"
        create_database
        run_scripts
        init_server stop
        unset PGPASSWORD
        printf 'docker-entrypoint.sh: initialised, starting the server\n'
    fi
fi

exec "$@"
