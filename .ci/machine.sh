# shellcheck shell=bash
# A machine that has nothing: a Debian 13 container with git, make, ca-certificates and sudo. For scripts that source it, which set
# scratch to a folder of their own.

# shellcheck disable=SC2154  # scratch
machine_image=dashtam-bare-machine:trixie
machine_bundle=/etc/ssl/certs/outer.pem
# What reaches the package index from here, the machine needs, too; machine_variables names what is in it.
machine_outside=() machine_variables=()

machine_prepare() {
    local name ca
    if ! docker image inspect "$machine_image" >/dev/null 2>&1; then
        printf '%s\n' "-- making the machine's image"
        debootstrap --variant=minbase --include=git,make,ca-certificates,sudo trixie "$scratch/root" >"$scratch/log" \
            || { tail -n 20 "$scratch/log"; return 1; }
        tar -C "$scratch/root" -c . | docker import - "$machine_image" >/dev/null
        rm -rf "$scratch/root"
    fi
    for name in PIP_INDEX_URL http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
        [ -z "${!name:-}" ] || machine_variables+=("$name=${!name}")
    done
    for ca in "${PIP_CERT:-}" "${SSL_CERT_FILE:-}" "${REQUESTS_CA_BUNDLE:-}" "${CURL_CA_BUNDLE:-}"; do
        if [ -f "$ca" ]; then
            cp "$ca" "$scratch/ca.pem"
            machine_variables+=("PIP_CERT=$machine_bundle" "SSL_CERT_FILE=$machine_bundle")
            break
        fi
    done
    for name in "${machine_variables[@]}"; do machine_outside+=(--env "$name"); done
}

machine_start() { # NAME HOSTNAME
    # The rights that an engine needs, and none that it does without: dockerd must not count on raising its own limits.
    docker run --detach --name "$1" --hostname "$2" --cap-add ALL --cap-drop SYS_RESOURCE \
        --security-opt seccomp=unconfined --security-opt systempaths=unconfined \
        --volume /sys/fs/cgroup:/sys/fs/cgroup:rw --volume "$1:/var/lib/docker" \
        --env LANG=C.UTF-8 "${machine_outside[@]}" "$machine_image" sleep infinity >/dev/null
    [ ! -f "$scratch/ca.pem" ] || { chmod 644 "$scratch/ca.pem"; docker cp --quiet "$scratch/ca.pem" "$1:$machine_bundle"; }
}

machine_remove() { # NAME
    docker rm --force --volumes "$1" >/dev/null 2>&1 || true # it may not be there yet
    docker volume rm "$1" >/dev/null 2>&1 || true            # nor this
}
