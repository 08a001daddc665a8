# shellcheck shell=sh
# The container's command, which ends in the image's entrypoint; the arguments are the server and its options. Writes the users that
# the server loads, and a script for whoever may run commands in this container: sh /tmp/redis-admin CONFIG GET maxmemory
# Each start makes the administrator's password, and nothing outside the container knows it: neither the network nor a
# published port leads to an administrator. Only what busybox has, too.
set -eu
umask 077
sha256() { sha256sum | cut -d ' ' -f 1; }
administrator=$(head -c 32 /dev/urandom | sha256)
socket=
if [ -n "${REDIS_TLS_KEY-}" ]; then
    # The administrator needs no TLS inside the container.
    socket='-s /tmp/redis.sock'
    printf '%s\n' "$REDIS_TLS_CERT" >/tmp/redis-cert.pem
    printf '%s\n' "$REDIS_TLS_KEY" >/tmp/redis-key.pem
    unset REDIS_TLS_KEY
fi
printf '%s\n' "export REDISCLI_AUTH=$administrator" "exec redis-cli $socket --user administrator \"\$@\"" >/tmp/redis-admin
{
    echo 'user default off resetpass resetkeys resetchannels -@all'
    echo "user administrator on #$(printf '%s' "$administrator" | sha256) ~* &* +@all"
    # Not echo: of some shells it takes a backslash for more than that.
    printf '%s\n' "user $REDIS_USER on #$(printf '%s' "$REDIS_PASSWORD" | sha256) resetkeys resetchannels -@all $REDIS_RULES"
} >/tmp/redis-users.acl
# The server may run as another user. It has hashes alone.
chmod 644 /tmp/redis-users.acl
unset REDIS_PASSWORD
server=$1
shift
exec docker-entrypoint.sh "$server" --aclfile /tmp/redis-users.acl "$@"
