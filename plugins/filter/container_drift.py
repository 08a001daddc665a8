"""How a container differs from its declaration, by what the engine really has, not by its labels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.dashtam.stack.plugins.module_utils import container_views
from ansible_collections.dashtam.stack.plugins.module_utils.container_parts import variables
from ansible_collections.dashtam.stack.plugins.module_utils.filter_module import filters
from ansible_collections.dashtam.stack.plugins.module_utils.quantities import shown_size
from ansible_collections.dashtam.stack.plugins.module_utils.secrets import masked, redacted
from ansible_collections.dashtam.stack.plugins.module_utils.survey import without_environment

# An unhealthy container is not recreated: its log would be lost, and it may recover.
NOTES = {"health": {"note": "a run shows its log"}}


def _swap(host: Mapping[str, Any]) -> int:
    """Bytes that may be swapped out. An engine that cannot limit it says -1, one without any limit 0."""
    return max(0, int(host.get("MemorySwap") or 0) - int(host["Memory"]))


def env_drift(declared: Mapping[str, str], running: Mapping[str, str]) -> list[dict[str, str]]:
    """Return how two environments differ: dicts of ``what``, ``declared`` and ``running``, secrets masked."""
    differences = []
    for name in sorted(declared.keys() | running.keys()):
        if declared.get(name) != running.get(name):
            wanted, has = masked(name, declared.get(name)), masked(name, running.get(name))
            differences.append(_difference(f"env {name}", wanted, f"another {has}" if has == wanted else has))
    return differences


def _difference(what: str, declared: str | None, running: str | None) -> dict[str, str]:
    told = {"what": what, "declared": declared or "none", "running": running or "none"}
    return {key: text.replace("\n", "\\n") for key, text in told.items()}


def _short(image: str) -> str:
    return image.removeprefix("sha256:")[:12]


def differences(
    spec: dict[str, Any],
    found: dict[str, Any],
    survey: dict[str, Any],
    added: dict[str, str],
    hash_label: str,
    log: dict[str, Any],
) -> list[dict[str, str]]:
    """Return how one container differs from its declaration, see :func:`container_drift`."""
    spec = spec | {"cpus": min(float(spec["cpus"]), survey.get("processors", math.inf))}
    same_image = found["Image"] == survey["images"].get(spec["image"])
    # What the image gives is judged by the image that the container was made from; None once that is removed.
    image = found.get("ImageConfig") or {}
    declared = container_views.declared(spec, image, spec["labels"] | added, log)
    running = container_views.running(spec, found, survey["networks"])
    if found.get("ImageConfig") is None:
        of_image = (
            "entrypoint",
            "stop signal",
            *(f"label {name}" for name in found["Config"]["Labels"] or {}),
        )
        running = {what: value for what, value in running.items() if what in declared or what not in of_image}
        running["entrypoint"] = running["stop signal"] = None
    if (swap := _swap(found["HostConfig"])) and running["memory limit"] == declared["memory limit"]:
        running["swap"] = shown_size(swap)
    told = []
    if not same_image:
        wanted = _short(survey["images"].get(spec["image"], "not present"))
        has = f"{found['Config']['Image']} ({_short(found['Image'])})"
        told.append(_difference("image", f"{spec['image']} ({wanted})", has))
    for what in [*declared, *(what for what in running if what not in declared)]:
        if declared.get(what) != running.get(what):
            told.append(_difference(what, declared.get(what), running.get(what)))
    if "Env" in found["Config"]:
        env = variables(found["Config"])
        if found.get("ImageConfig") is None:
            env = {name: value for name, value in env.items() if name in spec["env"]}
        told += env_drift(variables(image) | spec["env"], env)
    told = [{key: redacted(text, spec["env"]) for key, text in one.items()} for one in told]
    # The declaration's hash says that there is a difference, the others say which. It may be in two labels.
    if any(one["what"] == f"label {hash_label}" for one in told):
        same = {f"label {label}" for label, value in added.items() if value == added[hash_label]}
        told = [one for one in told if one["what"] not in same - {f"label {hash_label}"}]
    others = [one for one in told if one["what"] not in ("state", "health", f"label {hash_label}")]
    return [one for one in told if one["what"] != f"label {hash_label}" or not others]


def container_drift(
    survey: dict[str, Any],
    specs: list[dict[str, Any]],
    added: dict[str, dict[str, str]],
    hash_label: str,
    log: dict[str, Any],
) -> dict[str, Any]:
    """Return the survey, each declared container with its ``Drift``, and no container's environment.

    :param survey: what the lookup ``docker_survey`` returned with ``environments``; with ``processors``
        where the engine may have fewer than are declared.
    :param specs: declared containers (role container, ``container_specs``).
    :param added: container name to the labels that it has besides the declared ones.
    :param hash_label: the one of them that holds the hash of the declaration.
    :param log: ``driver`` and ``options`` that every container has.
    :returns: ``Drift`` is a list of dicts: ``what`` is otherwise, as which it is ``declared``, and how the
        engine has it ``running``, all texts for people; secrets are masked. Empty where all is as declared.
    """
    by_name = {spec["name"]: spec for spec in specs}
    containers = {}
    for name, found in survey["containers"].items():
        containers[name] = without_environment(found)
        if name in by_name:
            try:
                drift = differences(by_name[name], found, survey, added[name], hash_label, log)
            except ValueError as error:
                raise AnsibleFilterError(f"{name}: {error}") from None
            containers[name]["Drift"] = drift
    return survey | {"containers": containers}


def container_differences(specs: list[dict[str, Any]], survey: dict[str, Any]) -> list[dict[str, str]]:
    """Return all that the filter ``container_drift`` has told, and containers that are missing.

    :returns: dicts with ``object`` (the container's name), ``what``, ``declared`` and ``running``; with
        ``note`` where the next run does not repair it.
    """
    found = survey["containers"]
    missing = [_difference("container", "present", "missing")]
    return [
        {"object": spec["name"], **one, **NOTES.get(one["what"], {})}
        for spec in specs
        for one in (found[spec["name"]]["Drift"] if spec["name"] in found else missing)
    ]


def drift_lines(differences: list[dict[str, str]]) -> list[str]:
    """Return a line for people for each difference."""
    return ["{what}: declared {declared}, running {running}".format(**one) for one in differences]


FilterModule = filters(container_differences, env_drift, drift_lines)
