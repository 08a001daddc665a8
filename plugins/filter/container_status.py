"""What runs, as data and in lines for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.dashtam.stack.plugins.module_utils import ready_times
from ansible_collections.dashtam.stack.plugins.module_utils.container_parts import bound
from ansible_collections.dashtam.stack.plugins.module_utils.filter_module import filters
from ansible_collections.dashtam.stack.plugins.module_utils.survey import carries

# The labels that tell instances apart.
IDENTITY = ("checkout", "instance", "environment")


def _ports(found: dict[str, Any]) -> list[str]:
    return sorted(f"{address}:{outside}" for address, outside, _ in bound(found))


def _labels(kind: str, found: dict[str, Any]) -> dict[str, str]:
    return (found["Config"]["Labels"] if kind == "containers" else found["Labels"]) or {}


def _entry(kind: str, name: str, found: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    entry: dict[str, Any] = {"name": name, "kind": kind.removesuffix("s")}
    if kind == "containers":
        state = found["State"]
        entry |= {
            "state": state["Status"],
            "health": ready_times.health(found),
            "exit_code": state["ExitCode"] if state["Status"] in ("exited", "dead") else None,
            "ports": _ports(found),
        }
        if "Look" in found:
            service = _labels(kind, found).get(f"{prefix}.service")
            entry |= {"service": service, "image": found["Config"]["Image"], **found["Look"]}
    return entry


def _told(entry: dict[str, Any]) -> str:
    ended = entry["exit_code"] is not None
    return (
        f"exited with {entry['exit_code']}" if ended else f"{entry['state']} {entry['health'] or ''}".strip()
    )


def _line(entry: dict[str, Any]) -> str:
    if entry["kind"] != "container":
        return f"  {entry['name']:<28} {entry['kind']}"
    return f"  {entry['name']:<28} {_told(entry):<20} {', '.join(entry['ports'])}".rstrip()


COLUMNS = ("CONTAINER", "STATE", "ADDRESS", "UP", "READY AFTER", "IMAGE")


def _cells(entry: dict[str, Any]) -> tuple[str, ...]:
    """Return what the table says of a container that was looked at."""
    address = entry["browser_url"] or entry["tool_url"] or ", ".join(entry["ports"])
    age = container_age(entry["age_seconds"]) if entry["state"] == "running" else ""
    ready = "" if entry["ready_seconds"] is None else f"{entry['ready_seconds']} s"
    return entry["name"], _told(entry), address, age, ready, entry["image"]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _table(entries: list[dict[str, Any]]) -> list[str]:
    """Return the lines of an instance's containers, each with its reason below, where all is not well."""
    lines = []
    for line, entry in zip(aligned([COLUMNS, *map(_cells, entries)]), [None, *entries], strict=True):
        lines.append(f"  {line}")
        if entry and entry["reason"]:
            lines += [f"    {line}" for line in entry["reason"].splitlines()]
    return lines


def _all_objects(survey: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    kinds = ("containers", "networks", "volumes")
    return [(kind, name, found) for kind in kinds for name, found in sorted(survey[kind].items())]


def container_status_lines(survey: dict[str, Any], labels: dict[str, str]) -> list[str]:
    """Return a line for people for each container, network and volume that carries the labels."""
    return [
        _line(_entry(kind, name, found))
        for kind, name, found in _all_objects(survey)
        if carries(_labels(kind, found), labels)
    ]


def _state(objects: list[dict[str, Any]]) -> str:
    """Say in a word how the containers of an instance are."""
    states = {
        entry["state"] if entry["health"] in (None, "healthy") else entry["health"]
        for entry in objects
        if entry["kind"] == "container"
    }
    for worst in ("restarting", "dead", "unhealthy", "exited", "paused", "created", "starting"):
        if worst in states:
            return worst
    return "up" if states else "down"


def container_instances(
    survey: dict[str, Any], prefix: str, declared: dict[str, str] | None = None
) -> list[dict[str, Any]]:
    """Return what the engine has, a dict for each instance and environment of each checkout.

    :param survey: what the lookup ``docker_survey`` returns.
    :param prefix: the labels' prefix; those of an instance are ``<prefix>.instance``, ``.environment`` (which
        other applications need not have) and ``.checkout``.
    :param declared: ``checkout``, ``instance`` and ``environment`` of one that is listed even if it does not
        exist, and ``start``, the command that starts it: it is in the answer if no container exists.
    :returns: ``checkout``, ``instance``, ``environment``, ``state`` (``up``, ``down`` without containers, or
        the worst state or health of its containers), ``ports`` and ``objects``: for each container, network
        and volume ``name`` and ``kind``, for containers ``state``, ``health``, ``exit_code`` and ``ports``
        too. A container with a ``Look`` also has ``service``, ``image`` and what ``health.looks`` returns.
    """
    found_objects: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    own = tuple(declared[each] for each in IDENTITY) if declared else None
    if own:
        found_objects[own] = []
    for kind, name, found in _all_objects(survey):
        labels = _labels(kind, found)
        if f"{prefix}.instance" in labels:
            identity = tuple(labels.get(f"{prefix}.{each}", "") for each in IDENTITY)
            found_objects.setdefault(identity, []).append(_entry(kind, name, found, prefix))
    instances = []
    for identity, objects in sorted(found_objects.items()):
        state = _state(objects)
        instances.append(
            {
                **dict(zip(IDENTITY, identity, strict=True)),
                "state": state,
                "ports": [port for entry in objects for port in entry.get("ports", [])],
                "objects": objects,
                **({"start": declared["start"]} if declared and identity == own and state == "down" else {}),
            }
        )
    return instances


def instance_status_lines(instances: list[dict[str, Any]]) -> list[str]:
    """Return each instance's name, and below it a table of its containers and a line for all else."""
    lines = []
    for each in instances:
        hint = f"  nothing runs; start it: {each['start']}" if "start" in each else ""
        lines.append("-".join(filter(None, (each["instance"], each["environment"]))) + hint)
        looked = [entry for entry in each["objects"] if "reason" in entry]
        lines += _table(looked) if looked else []
        lines += [_line(entry) for entry in each["objects"] if "reason" not in entry]
    return lines


def instance_table(instances: list[dict[str, Any]]) -> list[str]:
    """Return a line for each instance (name, environment, state, ports), below its checkout's folder."""
    lines: list[str] = []
    checkout = None
    for each in instances:
        if each["checkout"] != checkout:
            checkout = each["checkout"]
            lines.append(checkout or "without a checkout's label")
        ports = ", ".join(port.removeprefix("127.0.0.1:") for port in each["ports"])
        lines.append(
            f"  {each['instance']:<20} {each['environment']:<6} {each['state']:<11} {ports}".rstrip()
        )
    return lines


def container_age(seconds: int) -> str:
    """Return a duration for people, in the largest unit of which there are two: ``95`` is ``95 s``."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


FilterModule = filters(
    container_status_lines, container_instances, instance_status_lines, instance_table, container_age
)
