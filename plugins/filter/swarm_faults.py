"""What of a declared container a service of a Swarm cannot keep: refused, unless it is given up by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ansible_collections.dashtam.stack.plugins.module_utils.container_parts import published
from ansible_collections.dashtam.stack.plugins.module_utils.filter_module import filters
from ansible_collections.dashtam.stack.plugins.module_utils.service_parts import all_secrets, files

EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - what Swarm publishes on, whatever is asked for
KNOWN = {
    *("name", "image", "command", "user", "working_dir", "env", "labels", "network", "aliases"),
    *("published_ports", "mounts", "restart_policy", "healthcheck", "stop_timeout", "read_only", "cap_drop"),
    *("security_opts", "shm_size", "memory", "cpus", "pids_limit", "nofile", "init", "ready"),
}
LIMIT = "docker_swarm_service has no option for it"
# What a container may have and a service may not: when it matters, and why it cannot be kept.
NO_WORD: dict[str, tuple[Callable[[dict[str, Any]], bool], str]] = {
    "security_opts": (lambda spec: bool(spec["security_opts"]), LIMIT),
    "pids_limit": (lambda spec: int(spec["pids_limit"]) > 0, LIMIT),
    "nofile": (lambda spec: bool(spec["nofile"]), LIMIT),
    "bind_address": (
        lambda spec: any(address not in EVERYWHERE for address, _, _ in published(spec)),
        "a Swarm publishes on all addresses of a node",
    ),
    "volume_owner": (
        lambda spec: any(mount.get("owner") for mount in spec["mounts"]),
        "a Swarm makes a volume as the image has its folder",
    ),
}


def _faults(entry: dict[str, Any]) -> Iterator[str]:
    spec, given_up = entry["container"], entry.get("given_up") or {}
    if unknown := sorted(set(spec) - KNOWN):
        yield f"{', '.join(unknown)}: not known to the translation into a service"
    for name in sorted(set(given_up) - set(NO_WORD)):
        yield f"{name}: nothing of this name can be given up; there are {', '.join(NO_WORD)}"
    for name, reason in given_up.items():
        if not str(reason).strip():
            yield f"{name} is given up without a reason; say why"
    for name, (matters, why) in NO_WORD.items():
        if name not in given_up and matters(spec):
            yield f"{name}: {why}. Take it out of the container, or give it up by name, with the reason"
    for target, source in files(spec).items():
        if Path(source).is_dir():
            yield f"{target}: no other node has the folder {source}. Put it into the image"
    if "/ready" in str(spec["healthcheck"]):
        yield (
            "the health check asks /ready: a Swarm kills what is unhealthy, so a restart of the database "
            "would end all replicas. Ask /health"
        )
    if spec["published_ports"] and entry.get("order") == "start-first":
        yield "start-first with a published port: the next task would find the port taken. Use stop-first"


def service_faults(entries: list[dict[str, Any]]) -> list[str]:
    """Return a line for each thing that cannot be kept as declared and is not given up by name.

    :param entries: dicts with ``container`` (a declaration, see the role container), and what only a service
        has: ``mode`` (replicated, global or replicated-job), ``replicas``, ``constraints``, ``order``
        (start-first or stop-first), ``image`` (a reference, or an id, instead of the container's) and
        ``given_up`` (name to the reason).
    """
    lines = [f"{entry['container']['name']}: {fault}." for entry in entries for fault in _faults(entry)]
    values: dict[str, set[str]] = {}
    for secret in all_secrets(entries, ""):
        values.setdefault(secret["name"], set()).add(str(secret.get("data_src") or secret.get("data")))
    lines += [
        f"{name.removeprefix('_')}: two services have different values of it, and a secret has one."
        for name, found in values.items()
        if len(found) > 1
    ]
    return lines


FilterModule = filters(service_faults)
