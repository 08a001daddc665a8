# Prints what CONFIG SET has made otherwise than a server has it that was started by the same words, as lines of name, declared
# and running, separated by tabs; APPLY=true sets it back. "$@": the container's command. Only what busybox has, too.
set -eu
usual=/tmp/redis-settings-as-started
tab=$(printf '\t')
# Each once: an older name says the same again.
settings() {
    redis-cli -e "$@" CONFIG GET '*' | paste - - | grep -Ev "^[^$tab]*(slave|ziplist|_)|^(lua-time-limit|port|unixsocket|dir)$tab" | sort
}
answer=$(timeout 10 redis-cli -e PING 2>&1) || { printf '%s\n' "${answer:-no answer within 10 s}"; exit 1; }
# A second one beside it, for a moment, with no port and no data. What it says holds as long as the container.
if [ ! -s "$usual" ]; then
    folder=$(mktemp -d)
    cd "$folder"
    docker-entrypoint.sh "$@" --port 0 --unixsocket "$folder/socket" --dir "$folder" >/dev/null &
    tries=200
    until redis-cli -e -s "$folder/socket" PING >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || { echo 'a second server to compare with does not start'; exit 1; }
        sleep 0.05
    done
    settings -s "$folder/socket" >"$folder/settings"
    redis-cli -s "$folder/socket" SHUTDOWN NOSAVE
    wait
    mv "$folder/settings" "$usual"
    cd /
    rm -rf "$folder"
fi
settings | awk -F '\t' -v OFS='\t' 'NR == FNR {usual[$1] = $2; next} usual[$1] != $2 {print $1, usual[$1], $2}' "$usual" - |
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
