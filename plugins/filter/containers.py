"""What must be done so that the engine has what is declared."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.dashtam.stack.plugins.module_utils.filter_module import filters
from ansible_collections.dashtam.stack.plugins.module_utils.secrets import redacted
from ansible_collections.dashtam.stack.plugins.module_utils.survey import carries

COMPOSE = "com.docker.compose"


def container_hash(spec: dict[str, Any]) -> str:
    """Return 16 hex digits that change whenever anything declared about the container does."""
    canonical = json.dumps(spec, sort_keys=True, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def added_labels(spec: dict[str, Any], hash_label: str, project: dict[str, Any]) -> dict[str, str]:
    """Return the labels that a container has besides the declared ones.

    They are the declaration's hash, and those by which docker compose and the tools that show its projects
    (Docker Desktop, lazydocker, VS Code) find a project's containers
    (https://github.com/docker/compose/blob/v2.26.1/pkg/api/labels.go). Networks and volumes have none, so
    that ``docker compose down --volumes`` removes no data.

    :param spec: a declared container.
    :param hash_label: the label that holds :func:`container_hash`.
    :param project: its ``name``, which is empty where there is none, the ``working_dir`` and ``config_files``
        that are shown, and the ``service_label``, whose value is the service's name.
    """
    labels = {hash_label: container_hash(spec)}
    if not project["name"]:
        return labels
    return labels | {
        f"{COMPOSE}.project": project["name"],
        f"{COMPOSE}.project.working_dir": project["working_dir"],
        f"{COMPOSE}.project.config_files": ",".join(project["config_files"]),
        f"{COMPOSE}.service": spec["labels"][project["service_label"]],
        f"{COMPOSE}.container-number": "1",
        f"{COMPOSE}.oneoff": "False",
        f"{COMPOSE}.config-hash": labels[hash_label],
    }


def _owner(labels: dict[str, str], declared: dict[str, str]) -> str | None:
    """Return why an object with these labels is not ours, or None when it is."""
    for key, value in declared.items():
        found = labels.get(key)
        if found is None:
            return "it does not carry our labels"
        if found != value:
            return f"its label {key} is {found}, not {value}"
    return None


def _identity(declared: dict[str, Any], labels: list[str]) -> dict[str, str]:
    """Return those of a declared object's labels that tell whose it is.

    :raises AnsibleFilterError: it has not all of them.
    """
    missing = [label for label in labels if label not in declared["labels"]]
    if missing:
        raise AnsibleFilterError(f"{declared['name']}: give it the label {', '.join(missing)}")
    return {label: declared["labels"][label] for label in labels}


def container_states(
    specs: list[dict[str, Any]], survey: dict[str, Any], identity_labels: list[str], hash_label: str
) -> list[dict[str, Any]]:
    """Say for each declared container what the engine has.

    :param specs: declared containers (role container, ``container_specs``).
    :param survey: what the lookup ``docker_survey`` returned, its ``images`` holding every spec's image. What
        the filter ``container_drift`` has told in it counts as changed by hand.
    :param identity_labels: labels that make an object ours; a container of the name without them is foreign.
    :param hash_label: the label that holds :func:`container_hash`.
    :returns: one dict a spec, in order: ``name``, ``state`` (``foreign``, ``missing``, ``changed``,
        ``stopped``, ``drifted`` or ``running``) and ``reason`` (one line for people).
    """
    states = []
    for spec in specs:
        found = survey["containers"].get(spec["name"])
        identity = _identity(spec, identity_labels)
        state, reason = "running", ""
        if found is None:
            state, reason = "missing", "it does not exist"
        elif foreign := _owner(found["Config"]["Labels"] or {}, identity):
            state, reason = "foreign", foreign
        elif found["Config"]["Labels"].get(hash_label) != container_hash(spec):
            state, reason = "changed", "its declaration changed"
        elif found["Image"] != survey["images"].get(spec["image"]):
            state, reason = "changed", f"the image {spec['image']} was rebuilt or pulled again"
        elif found["State"]["Status"] in ("restarting", "dead"):
            state, reason = "drifted", f"it is {found['State']['Status']}"
        elif drift := [one for one in found.get("Drift", []) if one["what"] not in ("state", "health")]:
            state = "drifted"
            reason = "; ".join(f"{one['what']} is {one['running']}, not {one['declared']}" for one in drift)
        elif found["State"]["Status"] != "running":
            state, reason = "stopped", f"it is {found['State']['Status']}"
        states.append({"name": spec["name"], "state": state, "reason": reason})
    return states


def declared_volumes(specs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return ``name`` and ``labels`` of the volumes that the specs mount; the first mount makes them."""
    return [
        {"name": mount["source"], "labels": mount["labels"]}
        for spec in specs
        for mount in spec["mounts"]
        if mount["type"] == "volume" and "labels" in mount
    ]


def network_states(
    specs: list[dict[str, Any]], networks: list[dict[str, Any]], survey: dict[str, Any]
) -> dict[str, str]:
    """Say for each network of the specs whether it is ``missing``, ``changed``, ``foreign`` or ``present``.

    :param networks: those that are declared, dicts with ``name``, ``internal`` and ``labels``. Of a network
        that a spec is on and nobody declares only the presence counts.
    """
    declared = {network["name"]: network for network in networks}
    states = {}
    for name in dict.fromkeys([*declared, *(spec["network"] for spec in specs)]):
        found, wanted = survey["networks"].get(name), declared.get(name)
        states[name] = "present"
        if found is None:
            states[name] = "missing"
        elif wanted and (found["Labels"] or {}) != wanted["labels"]:
            states[name] = "foreign"
        elif wanted and found["Internal"] != wanted["internal"]:
            states[name] = "changed"
    return states


def foreign_objects(
    states: list[dict[str, Any]],
    networks: dict[str, str],
    volumes: list[dict[str, Any]],
    survey: dict[str, Any],
    identity_labels: list[str],
) -> list[dict[str, str]]:
    """Return ``kind``, ``name`` and ``reason`` of the objects that bear a declared name and are not ours."""
    found = [
        {"kind": "container", "name": state["name"], "reason": state["reason"]}
        for state in states
        if state["state"] == "foreign"
    ]
    found += [
        {"kind": "network", "name": name, "reason": "its labels differ from ours"}
        for name, state in networks.items()
        if state == "foreign"
    ]
    return found + [
        {"kind": "volume", "name": volume["name"], "reason": "it does not carry our labels"}
        for volume in volumes
        if (has := survey["volumes"].get(volume["name"])) is not None
        and _owner(has["Labels"] or {}, _identity(volume, identity_labels))
    ]


def volume_families(survey: dict[str, Any], names: list[str], label: str) -> list[dict[str, str]]:
    """Return ``name`` and ``family`` of those volumes that exist and carry the label of an image family."""
    volumes = survey.get("volumes", {})
    found = {name: (volumes.get(name) or {}).get("Labels") or {} for name in names}
    return [{"name": name, "family": labels[label]} for name, labels in found.items() if label in labels]


def other_checkouts(survey: dict[str, Any], own: dict[str, str], checkout_label: str) -> list[str]:
    """Return the checkouts, other than ours, that objects of our environment and instance belong to."""
    labels = [found["Config"]["Labels"] or {} for found in survey["containers"].values()]
    labels += [found["Labels"] or {} for kind in ("networks", "volumes") for found in survey[kind].values()]
    identity = {key: value for key, value in own.items() if key != checkout_label}
    same = [found for found in labels if checkout_label in found and carries(found, identity)]
    return sorted({found[checkout_label] for found in same} - {own[checkout_label]})


def container_probes(
    specs: list[dict[str, Any]], questions: dict[str, dict[str, Any]] | None = None
) -> list[dict[str, Any]]:
    """Return what ``container_wait`` needs of each spec: ``name`` and ``ready``, and ``question`` of some.

    :param questions: container name to its question.
    """
    asked = {name: {"question": question} for name, question in (questions or {}).items()}
    return [{"name": spec["name"], "ready": spec["ready"], **asked.get(spec["name"], {})} for spec in specs]


def container_redact(text: str, specs: list[dict[str, Any]]) -> str:
    """Return the text without the secrets that the containers' environments hold."""
    for spec in specs:
        text = redacted(text, spec["env"])
    return text


FilterModule = filters(
    container_states, declared_volumes, volume_families, other_checkouts, container_probes, container_redact
)
