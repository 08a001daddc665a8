"""Containers made in the engine from their declarations, each replaced as a whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import docker
from ansible_collections.dashtam.stack.plugins.module_utils import engine_volumes
from ansible_collections.dashtam.stack.plugins.module_utils.container_parts import published
from ansible_collections.dashtam.stack.plugins.module_utils.quantities import (
    NANOSECONDS,
    in_bytes,
    in_seconds,
)
from ansible_collections.dashtam.stack.plugins.module_utils.survey import carries
from docker.errors import APIError, NotFound
from docker.types import Healthcheck, LogConfig, Ulimit

# A container that replaces another has the first name until the other has stopped. The other then has the
# second one until it is removed.
NEXT, PREVIOUS = "{}-next", "{}-previous"


def _ports(spec: Mapping[str, Any]) -> dict[str, list[tuple[str, int]]]:
    """Return the port inside, with its protocol, to pairs of address and port outside."""
    bound: dict[str, list[tuple[str, int]]] = {}
    for address, outside, inside in published(spec):
        bound.setdefault(inside, []).append((address, outside))
    return bound


def _health(test: Any, retries: Any = None, **durations: Any) -> Healthcheck:
    nanoseconds = {name: int(in_seconds(value) * NANOSECONDS) for name, value in durations.items()}
    return Healthcheck(test=test, retries=int(retries or 0), **nanoseconds)


def _limits(api: docker.APIClient, spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of the machine the container may use. Its memory limit includes what is swapped out."""
    cpus, memory = float(spec["cpus"]), in_bytes(spec["memory"])
    # The engine refuses more processors than there are; a declaration is for machines of any size.
    cpus = min(cpus, api.info()["NCPU"]) if cpus else 0
    return {
        "nano_cpus": int(cpus * NANOSECONDS),
        "mem_limit": memory,
        "memswap_limit": memory,
        "pids_limit": spec["pids_limit"],
        "ulimits": [Ulimit(name="nofile", soft=spec["nofile"], hard=spec["nofile"])],
    }


def create(
    api: docker.APIClient,
    spec: Mapping[str, Any],
    name: str,
    labels: Mapping[str, str],
    log: Mapping[str, Any],
) -> str:
    """Create a container, without starting it, and return its id.

    The engine refuses here what it can know before the start: an image or a mount's source that is missing, a
    value out of its range. A port that is taken shows at the start only.

    :param spec: the declaration (role container, ``container_specs``).
    :param name: the container's name.
    :param labels: its labels; the engine adds the image's.
    :param log: ``driver`` and ``options``.
    :raises docker.errors.APIError: the engine refuses.
    """
    ports = _ports(spec)
    host = api.create_host_config(
        network_mode=spec["network"],
        port_bindings=ports,
        mounts=[engine_volumes.mounted(mount) for mount in spec["mounts"]],
        restart_policy={"Name": spec["restart_policy"]},
        read_only=spec["read_only"],
        cap_drop=spec["cap_drop"],
        security_opt=spec["security_opts"],
        shm_size=in_bytes(spec["shm_size"]),
        init=spec["init"],
        **_limits(api, spec),
        log_config=LogConfig(type=log["driver"], config=log["options"]),
    )
    endpoint = api.create_endpoint_config(aliases=spec["aliases"])
    created = api.create_container(
        spec["image"],
        command=spec["command"] or None,
        name=name,
        user=spec.get("user"),
        working_dir=spec.get("working_dir"),
        environment=dict(spec["env"]),
        labels=dict(labels),
        ports=[tuple(inside.split("/")) for inside in ports],
        healthcheck=_health(**spec["healthcheck"]),
        stop_timeout=spec["stop_timeout"],
        networking_config=api.create_networking_config({spec["network"]: endpoint}),
        host_config=host,
    )
    return str(created["Id"])


def start(api: docker.APIClient, name: str) -> None:
    """Start a container that has stopped, or let a paused one go on.

    :raises docker.errors.APIError: the engine refuses.
    """
    if api.inspect_container(name)["State"]["Paused"]:
        api.unpause(name)
    else:
        api.start(name)


def replace(
    api: docker.APIClient,
    spec: Mapping[str, Any],
    labels: Mapping[str, str],
    log: Mapping[str, Any],
    own: Mapping[str, str],
) -> None:
    """Put a new container in the place of the one that has the declaration's name, if there is one.

    The old one is stopped once the new one exists, and removed once the new one has started. If the engine
    refuses, the old one is as it was, started again where it ran.

    :param own: the labels, with their values, by which what a killed run has left is ours to remove.
    :raises docker.errors.APIError: the engine refuses.
    """
    name = spec["name"]
    following, previous = NEXT.format(name), PREVIOUS.format(name)
    # What a run that was killed has left.
    for left in (following, previous):
        _discard(api, left, own)
    engine_volumes.own(api, spec, following, labels)
    created = create(api, spec, following, labels, log)
    found = None
    try:
        found = api.inspect_container(name)
    except NotFound:
        api.rename(created, name)
        _start_or_discard(api, created)
        return
    ran = found["State"]["Running"]
    try:
        if found["State"]["Paused"]:
            api.unpause(found["Id"])
        if ran:
            api.stop(found["Id"], timeout=spec["stop_timeout"])
        api.rename(found["Id"], previous)
        api.rename(created, name)
        api.start(created)
    except APIError:
        api.remove_container(created, v=True, force=True)
        if api.inspect_container(found["Id"])["Name"] != f"/{name}":
            api.rename(found["Id"], name)
        if ran:
            api.start(found["Id"])
        raise
    api.remove_container(found["Id"], v=True, force=True)


def _start_or_discard(api: docker.APIClient, created: str) -> None:
    try:
        api.start(created)
    except APIError:
        # One that never started would hold the name, and the next run would take it for one that stopped.
        api.remove_container(created, v=True, force=True)
        raise


def _discard(api: docker.APIClient, name: str, labels: Mapping[str, str]) -> None:
    """Remove a container of this name if it carries our labels with their values."""
    try:
        found = api.inspect_container(name)["Config"]["Labels"]
    except NotFound:
        return
    if carries(found, labels):
        api.remove_container(name, v=True, force=True)
