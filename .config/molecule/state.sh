# shellcheck shell=sh
# What a scenario has made, a line for each object, in words that differ once it is recreated, restarted or rewritten.
# shellcheck disable=SC2046,SC2086  # words are split on purpose: no label and no id has a space in it
# usage: sh state.sh 'LABEL...' PATH...
set -eu
filters=
for label in $1; do filters="$filters --filter label=$label"; done
shift

# inspect KIND FORMAT ID...
inspect() {
    kind=$1 format=$2
    shift 2
    if [ $# -gt 0 ]; then docker "$kind" inspect --format "$kind $format" "$@"; fi
}
{
    inspect container '{{.Name}} {{.Id}} {{.State.StartedAt}} {{.State.Status}}' $(docker ps --all --quiet $filters)
    inspect network '{{.Name}} {{.Id}}' $(docker network ls --quiet $filters)
    inspect volume '{{.Name}} {{.CreatedAt}}' $(docker volume ls --quiet $filters)
    inspect image '{{.RepoTags}} {{.Id}}' $(docker image ls --quiet $filters)
    for path; do
        # A file that is replaced by an equal one has another inode.
        if [ -e "$path" ]; then find "$path" -type f -exec ls -lni {} + -exec cksum {} +; fi
    done
} | sort
