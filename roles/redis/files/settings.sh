# shellcheck shell=sh
# Prints which settings were changed by hand since the server was started, as lines of name, declared and running, separated
# by tabs; APPLY=true resets them. The readiness command has kept in the file $1 what the server had then. Only what busybox has, too.
set -eu
tab=$(printf '\t')
answer=$(timeout 10 redis-cli -e PING 2>&1) || { printf '%s\n' "${answer:-no answer within 10 s}"; exit 1; }
# A container that was made by hand has not been waited for. What it has now counts as what it started with.
[ -s "$1" ] || redis-cli -e CONFIG GET '*' >"$1"
# Names and values are lines in turn. An older name says the same again.
redis-cli -e CONFIG GET '*' | awk -v OFS="$tab" '
    FNR % 2 {name = $0; next}
    NR == FNR {started[name] = $0; next}
    name !~ /^(slave|lua-time-limit$)|ziplist/ && started[name] != $0 {print name, started[name], $0}' "$1" - | sort |
    if [ "${APPLY:-false}" = true ]; then
        # Not read's own tabs, of which two count as one: a value may be empty.
        while IFS= read -r line; do
            name=${line%%"$tab"*}
            declared=${line#*"$tab"}
            case $name in
                replicaof) redis-cli -e REPLICAOF NO ONE ;;
                *) redis-cli -e CONFIG SET "$name" "${declared%%"$tab"*}" ;;
            esac </dev/null
        done
    else
        cat
    fi
