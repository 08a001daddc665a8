#!/bin/bash
# Keeps the contract of the official postgres image: same variables, same places, same order of events.
set -Eeuo pipefail

# What the image's Dockerfile has made by initdb; its arguments are beside it.
CLUSTER=/usr/share/postgresql/cluster
TZ=${TZ:-}

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

# Whether the image has what initdb would make: it depends on its arguments, the user, the password and the time zone.
has_cluster() {
    [[ $POSTGRES_USER == postgres && -z $POSTGRES_PASSWORD$TZ && -z ${POSTGRES_INITDB_WALDIR:-} ]] &&
        [[ $POSTGRES_INITDB_ARGS == "$(<"$CLUSTER.arguments")" && -r $CLUSTER/PG_VERSION ]]
}

# Copies the image's cluster, and gives it new values of what no two share: the identifier, which says whether two connections
# reach the same server, and the nonce of logins by roles that do not exist. pg_resetwal takes them as it does those of
# pg_createsubscriber (modify_subscriber_sysid), and with --force it makes a checksum that fits.
copy_cluster() {
    local target=$1 nonce said
    cp -a "$CLUSTER" "$target"
    nonce=$(LC_ALL=C pg_controldata "$target" | sed -n 's/^Mock authentication nonce: *//p')
    perl -we '
        open(my $file, "+<:raw", $ARGV[0]) && open(my $random, "<:raw", "/dev/urandom") or die "$!\n";
        read($file, my $control, -s $file) && read($random, my $new, 36) == 36 or die "$!\n";
        my $place = index($control, pack("H*", $ARGV[1]));
        die "pg_control has no nonce\n" if $place < 8 || length($ARGV[1]) != 64;
        substr($control, $place, 32) = substr($new, 0, 32);
        substr($control, 0, 8) = pack("Q", time << 32 | unpack("L", substr($new, 32)));
        seek($file, 0, 0) && print($file $control) && close($file) or die "$!\n";
    ' "$target/global/pg_control" "$nonce"
    said=$(pg_resetwal --force --pgdata="$target" 2>&1) || fail "pg_resetwal: $said"
    initdb --sync-only --pgdata="$target" >/dev/null
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
    if has_cluster; then
        printf 'docker-entrypoint.sh: copying what initdb made with %s\n' "$POSTGRES_INITDB_ARGS"
        copy_cluster "$beside"
    else
        run_initdb "$beside"
    fi
    find "$beside" -mindepth 1 -maxdepth 1 \! -name PG_VERSION -exec mv --target-directory="$PGDATA" '{}' +
    mv "$beside/PG_VERSION" "$PGDATA"
    rmdir "$beside"
}

run_initdb() {
    local beside=$1
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
        if [[ $POSTGRES_DB != postgres ]] || compgen -G '/docker-entrypoint-initdb.d/*' >/dev/null; then
            init_server start "${@:2}"
            create_database
            run_scripts
            init_server stop
        fi
        unset PGPASSWORD
        printf 'docker-entrypoint.sh: initialised, starting the server\n'
    fi
fi

exec "$@"
