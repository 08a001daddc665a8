# shellcheck shell=sh
# The container's command, which ends in the image's entrypoint; $1 is where pg_hba.conf goes, the others are the server's arguments.
# An initdb that was killed leaves a folder that no initdb takes, because it is not empty, and no server, because it is not whole.
# Only what busybox has, too.
set -eu
printf '%s' "$POSTGRES_HBA" >"$1"
shift
if [ -n "${POSTGRES_TLS_KEY-}" ]; then
    printf '%s\n' "$POSTGRES_TLS_CERT" >/tmp/postgresql-cert.pem
    # PostgreSQL refuses a key that others can read.
    (umask 077 && printf '%s\n' "$POSTGRES_TLS_KEY" >/tmp/postgresql-key.pem)
    unset POSTGRES_TLS_KEY
fi

# Whether there is more than the databases of initdb: template1, template0 and postgres, by their numbers in pg_database.dat.
has_database() {
    for database in "$PGDATA"/base/*; do
        case ${database##*/} in \* | 1 | 4 | 5 | pgsql_tmp) ;; *) return 0 ;; esac
    done
    return 1
}
# A server that has started leaves postmaster.opts, a copy of one any of the others.
was_used() {
    for name in postmaster.opts backup_label backup_manifest tablespace_map standby.signal recovery.signal; do
        if [ -e "$PGDATA/$name" ]; then return 0; fi
    done
    has_database
}

if [ -d "$PGDATA/global" ] && [ -d "$PGDATA/base" ] && ! was_used; then
    echo "$PGDATA holds what an interrupted initdb has left, and no server has used it: it is removed and made again."
    find "$PGDATA" -mindepth 1 -maxdepth 1 -exec rm -r {} +
elif [ -e "$PGDATA/PG_VERSION" ] && [ ! -e "$PGDATA/global/pg_control" ]; then
    echo "$PGDATA was used and has lost global/pg_control: no server can start from it. Nothing was changed." \
        "Restore the volume from a copy; or, to give its data up, remove the volume without a backup." >&2
    exit 1
fi
# Each major version reads its own files alone, and says so in words of its own, again and again. Another image's server may have
# another user, too, and this one would begin to initialise what it cannot look into.
if [ -d "$PGDATA" ] && [ ! -x "$PGDATA" ]; then
    echo "$PGDATA belongs to a user of another image, and this image's server cannot read it. Nothing was changed. ${POSTGRES_UPGRADE:-}" >&2
    exit 1
elif [ -s "$PGDATA/PG_VERSION" ]; then
    read -r made <"$PGDATA/PG_VERSION"
    present=$(postgres --version | sed 's/^[^0-9]*\([0-9]*\).*/\1/')
    if [ "$made" != "$present" ]; then
        echo "$PGDATA was made by PostgreSQL $made, and this image has $present, which cannot read it. Nothing was changed. ${POSTGRES_UPGRADE:-}" >&2
        exit 1
    fi
fi
exec docker-entrypoint.sh postgres "$@"
