#!/bin/sh
# Keeps the contract of the official redis image.
set -eu

case ${1:-} in
    -* | *.conf) set -- redis-server "$@" ;;
esac

if [ "${1:-}" = redis-server ]; then
    if [ "$(id -u)" = 0 ]; then
        find . \! -user redis -exec chown redis '{}' +
        export HOME=/data
        exec setpriv --reuid=redis --regid=redis --init-groups "$0" "$@"
    fi
    if [ "$(umask)" = 0022 ]; then
        umask 0077
    fi
    # The official image is compiled without protected mode: a server behind a published port or a network alias
    # would answer nobody. First among the options, so that any that follow win; a file that decides is left alone.
    shift
    case ${1:-} in
        *.conf)
            configuration=$1
            shift
            if grep -qi '^[[:space:]]*protected-mode' "$configuration"; then
                set -- "$configuration" "$@"
            else
                set -- "$configuration" --protected-mode no "$@"
            fi
            ;;
        -v | --version | -h | --help | --test-memory | --check-system) ;;
        *) set -- --protected-mode no "$@" ;;
    esac
    set -- redis-server "$@"
fi

exec "$@"
