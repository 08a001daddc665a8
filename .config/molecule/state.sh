# What a scenario has made, a line for each object, in words that differ once it is made anew, restarted or written again.
# usage: sh state.sh LABEL FOLDER...
set -eu
label=$1
shift

# inspect KIND FORMAT ID...
inspect() {
    kind=$1 format=$2
    shift 2
    if [ $# -gt 0 ]; then docker "$kind" inspect --format "$kind $format" "$@"; fi
}
{
    inspect container '{{.Name}} {{.Id}} {{.State.StartedAt}} {{.State.Status}}' $(docker ps --all --quiet --filter "label=$label")
    inspect network '{{.Name}} {{.Id}}' $(docker network ls --quiet --filter "label=$label")
    inspect volume '{{.Name}} {{.CreatedAt}}' $(docker volume ls --quiet --filter "label=$label")
    inspect image '{{.RepoTags}} {{.Id}}' $(docker image ls --quiet --filter "label=$label")
    for folder; do
        # A file that is replaced by an equal one has another inode.
        if [ -e "$folder" ]; then find "$folder" -type f -exec ls -lni {} + -exec cksum {} +; fi
    done
} | sort
