"""How services of a Swarm differ from their declaration, by the comparison that the next run makes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.dashtam.stack.plugins.filter.container_drift import env_drift
from ansible_collections.dashtam.stack.plugins.module_utils.filter_module import filters
from ansible_collections.dashtam.stack.plugins.module_utils.quantities import shown_size
from ansible_collections.dashtam.stack.plugins.module_utils.secrets import redacted

DOCUMENTATION = """
name: service_drift
short_description: Say how services differ from their declaration
description: See the functions' docstrings.
"""

LEFT_ALONE = "a run leaves that to you"
WAITED_FOR = "the Swarm starts it, and a run waits for that"
# As the drift of a container has them; others are called as the module calls them.
NAMES = {
    "limit_memory": "memory limit",
    "limit_cpu": "cpu limit",
    "publish": "published ports",
    "read_only": "read-only root",
    "restart_policy": "restart policy",
    "args": "command",
    "command": "entrypoint",
}
# Dicts in a list, and what each is called by.
KEYS = {"mounts": "target", "secrets": "filename"}
LONGEST = 120
Difference = dict[str, str]


def _text(what: str, value: Any) -> str:
    if value in (None, "", [], {}):
        return "none"
    if what == "limit_memory":
        return shown_size(int(value))
    if what == "limit_cpu":
        return f"{float(value):g}"
    if what == "publish":
        return ", ".join(f"{one['published_port']}:{one['target_port']}/{one['protocol']}" for one in value)
    if what == "secrets":
        return str(value["secret_name"])
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


def _pairs(env: list[str] | None) -> dict[str, str]:
    return dict(pair.partition("=")[::2] for pair in env or [])


def _difference(what: str, declared: str, running: str, **more: str) -> Difference:
    told = {"what": what, "declared": declared, "running": running}
    if declared == running:
        told["running"] = f"another {running}"
    return {key: text.replace("\n", "\\n") for key, text in (told | more).items()}


def _named(what: str, kind: str, declared: Mapping[str, Any], running: Mapping[str, Any]) -> list[Difference]:
    return [
        _difference(f"{kind} {name}", _text(what, declared.get(name)), _text(what, running.get(name)))
        for name in sorted(declared.keys() | running.keys())
        if declared.get(name) != running.get(name)
    ]


def _image(item: dict[str, Any], running: str, labels: Mapping[str, str]) -> Difference:
    """Name both images: of an id, the service's label says what it was called."""

    def shown(name: str, image: str) -> str:
        short = image.removeprefix("sha256:")
        return image if short == image else f"{name} ({short[:12]})"

    return _difference(
        "image", shown(item["labels"]["image"], item["image"]), shown(labels.get("image", ""), running)
    )


def _changes(result: dict[str, Any]) -> list[Difference]:
    item, before, after = result["item"], result["diff"]["before"], result["diff"]["after"]
    labels = before.get("labels") or {} if "labels" in before else item["labels"]
    told: list[Difference] = []
    for what in after:
        declared, running = after[what], before[what]
        if what == "env":
            told += env_drift(_pairs(declared), _pairs(running))
        elif what == "image":
            told.append(_image(item, running, labels))
        elif what in ("labels", "container_labels"):
            ours = {key: value for key, value in declared.items() if key != "image"}
            has = {key: value for key, value in (running or {}).items() if key != "image"}
            told += _named(what, "label" if what == "labels" else "container's label", ours, has)
        elif what in KEYS:
            key = KEYS[what]
            sides = ({one[key]: one for one in side or []} for side in (declared, running))
            told += _named(what, what.removesuffix("s"), *sides)
        else:
            told.append(
                _difference(
                    NAMES.get(what, what.replace("_", " ")), _text(what, declared), _text(what, running)
                )
            )
    secrets = _pairs(before.get("env")) | item["env"]
    return [{key: redacted(text, secrets) for key, text in one.items()} for one in told]


def _tasks(service: dict[str, Any]) -> Difference | None:
    if service["state"] == "ok":
        return None
    said = str(service["reason"] or service["state"])
    error = service["last_error"]
    running = f"{said}: {error}" if error and error not in said else said
    declared = "done" if service["mode"] == "job" else f"{service['wanted']} running"
    return _difference("tasks", declared, redacted(running.rstrip("."), {}), note=WAITED_FOR)


def service_drift(
    results: list[dict[str, Any]], found: list[dict[str, Any]], removable: Sequence[str] = ()
) -> list[Difference]:
    """Return how services differ.

    :param results: of docker_swarm_service in a loop over its parameters, predicted and with differences.
    :param found: what the lookup ``swarm_services`` returned of all services that carry our labels.
    :param removable: names of those that the next run removes if they are not declared.
    :returns: dicts with ``object`` (the service), ``what``, ``declared`` and ``running``, secrets masked;
        with ``note`` where the next run does not repair it by itself.
    """
    has = {service["name"]: service for service in found}
    differences: list[Difference] = []
    for result in results:
        name = result["item"]["name"]
        told: list[Difference] = []
        if result["changed"]:
            told = (
                _changes(result)
                if result["diff"]["after"]
                else [_difference("service", "present", "missing")]
            )
        if name in has and (tasks := _tasks(has[name])):
            told.append(tasks)
        differences += [{"object": name, **one} for one in told]
    declared = {result["item"]["name"] for result in results}
    for name in sorted(has.keys() - declared):
        more = {} if name in removable else {"note": LEFT_ALONE}
        differences.append({"object": name, **_difference("service", "none", "present", **more)})
    return differences


def swarm_drift(found: dict[str, Any], labels: Mapping[str, str], networks: list[str]) -> list[Difference]:
    """Return what of the Swarm itself differs: labels of the node, and networks that are missing.

    :param found: what the lookup ``swarm_state`` returned.
    """
    missing = {"what": "network", "declared": "present", "running": "missing"}
    return [
        {"object": f"node {found['hostname']}", **one}
        for one in _named("labels", "label", labels, {key: found["labels"].get(key) for key in labels})
    ] + [{"object": name, **missing} for name in networks if name not in found["networks"]]


FilterModule = filters(service_drift, swarm_drift)
