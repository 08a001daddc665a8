# shellcheck shell=sh
# Prints which settings and users were changed by hand since the server was started, as lines of name, declared and running,
# separated by tabs; APPLY=true resets them. The readiness command has kept in the file $1 what the server had then. Only what
# busybox has, too.
set -eu
umask 077
tab=$(printf '\t')
admin() { sh /tmp/redis-admin -e "$@"; }
now() { admin CONFIG GET '*' && admin ACL LIST; }
answer=$(timeout 10 sh /tmp/redis-admin -e PING 2>&1) || { printf '%s\n' "${answer:-no answer within 10 s}"; exit 1; }
# Nobody has asked it since it started. What it has now counts as what it started with.
[ -s "$1" ] || { now >"$1.$$" && mv "$1.$$" "$1"; }
# Names and values are lines in turn, and then each user is a line. An older name says the same again.
now | awk -v OFS="$tab" '
    FNR == 1 {value = 0}
    value {value = 0; found(name, $0); next}
    /^user / {
        user = $2
        sub(/^user [^ ]* /, "")
        # Each start makes another password for this one.
        if (user == "administrator") gsub(/#[0-9a-f]+/, "#")
        found("user " user, $0)
        next
    }
    {name = $0; value = 1}
    function found(name, text) {
        if (NR == FNR) {started[name] = text; return}
        seen[name] = 1
        if (name !~ /^(slave|lua-time-limit$)|ziplist/ && started[name] != text) print name, started[name], text
    }
    END {for (name in started) if (!(name in seen)) print name, started[name], ""}' "$1" - | sort |
    if [ "${APPLY:-false}" = true ]; then
        # No file names for what is a pattern of keys.
        set -f
        # Not read's own tabs, of which two count as one: a value may be empty.
        while IFS= read -r line; do
            name=${line%%"$tab"*}
            declared=${line#*"$tab"}
            declared=${declared%%"$tab"*}
            if [ "$name" = 'user administrator' ]; then declared=$(sed -n 's/^user administrator //p' /tmp/redis-users.acl); fi
            # shellcheck disable=SC2086 # each rule is a word
            case $name:$declared in
                replicaof:*) admin REPLICAOF NO ONE ;;
                user\ *:) admin ACL DELUSER "${name#user }" ;;
                user\ *) admin ACL SETUSER "${name#user }" reset $declared ;;
                *) admin CONFIG SET "$name" "$declared" ;;
            esac </dev/null
        done
    else
        # A password can be guessed from its hash.
        sed 's/#[0-9a-f]\{64\}/#***/g'
    fi
