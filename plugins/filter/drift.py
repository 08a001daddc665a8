"""How networks, volumes and files differ from their declaration. Containers have filters in their roles."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.dashtam.stack.plugins.action.env_file import checksum, split
from ansible_collections.dashtam.stack.plugins.module_utils.filter_module import filters
from dotenv import dotenv_values

# Engine 28 and later say of every network which address families it has.
ENGINES_OWN = "com.docker.network.enable_ipv"
LEFT_ALONE = "a run leaves that to you"
Difference = dict[str, str]


def _difference(name: str, what: str, declared: object, running: object, **more: str) -> Difference:
    return {"object": name, "what": what, "declared": str(declared), "running": str(running), **more}


def _labels(name: str, declared: Mapping[str, str], running: Mapping[str, str] | None) -> list[Difference]:
    has = running or {}
    return [
        _difference(name, f"label {key}", declared.get(key, "none"), has.get(key, "none"), note=LEFT_ALONE)
        for key in sorted(declared.keys() | has.keys())
        if declared.get(key) != has.get(key)
    ]


def network_drift(
    networks: Mapping[str, Any], name: str, internal: bool, labels: Mapping[str, str]
) -> list[Difference]:
    """Return how the network differs; ``networks`` as the lookup ``docker_survey`` hands them out."""
    found = networks.get(name)
    if found is None:
        return [_difference(name, "network", "present", "missing")]
    said = {True: "yes", False: "no"}
    differences = _labels(name, labels, found["Labels"])
    if found["Internal"] != internal:
        differences.append(_difference(name, "internal", said[internal], said[found["Internal"]]))
    if found["Driver"] != "bridge":
        differences.append(_difference(name, "driver", "bridge", found["Driver"], note=LEFT_ALONE))
    return differences + [
        _difference(name, f"option {option}", "none", value, note=LEFT_ALONE)
        for option, value in sorted((found["Options"] or {}).items())
        if not option.startswith(ENGINES_OWN)
    ]


def volumes_drift(volumes: Mapping[str, Any], declared: list[dict[str, Any]]) -> list[Difference]:
    """Return how the volumes differ. A run does not recreate one, as its data would be lost."""
    differences = []
    for volume in declared:
        found = volumes.get(volume["name"])
        if found is None:
            differences.append(_difference(volume["name"], "volume", "present", "missing"))
        else:
            differences += _labels(volume["name"], volume["labels"], found["Labels"])
    return differences


def undeclared_drift(
    containers: Mapping[str, Any], labels: Mapping[str, str], declared: list[str], removed: list[str]
) -> list[Difference]:
    """Return the containers that carry our labels and are not declared; the next run removes ``removed``."""
    return [
        _difference(name, "container", "none", "present", **({} if name in removed else {"note": LEFT_ALONE}))
        for name, found in sorted(containers.items())
        if name not in declared
        and all((found["Config"]["Labels"] or {}).get(key) == value for key, value in labels.items())
    ]


def files_drift(declared: list[dict[str, Any]]) -> list[Difference]:
    """Return the files on this machine whose mode or owner differs.

    :param declared: dicts with ``path``, ``mode`` (text), ``private`` (only being open to others counts),
        ``uid`` (whose it must be; negative or left out, anybody's) and ``optional`` (it need not be there).
    """
    differences = []
    for file in declared:
        name, mode = file["path"], int(file["mode"], 8)
        try:
            has = Path(name).stat()
        except FileNotFoundError:
            if not file.get("optional"):
                differences.append(_difference(name, "file", "present", "missing"))
            continue
        except OSError as error:
            raise AnsibleFilterError(f"{name}: {error.strerror}") from error
        running = has.st_mode & 0o7777
        if (running ^ mode) & (0o077 if file.get("private") else 0o7777):
            differences.append(_difference(name, "mode", f"{mode:04o}", f"{running:04o}"))
        if int(file.get("uid", -1)) not in (-1, has.st_uid):
            differences.append(_difference(name, "owner", f"uid {file['uid']}", f"uid {has.st_uid}"))
    return differences


def dotenv_parsed(text: str) -> dict[str, str]:
    """Return the variables of an env file."""
    return {name: value or "" for name, value in dotenv_values(stream=io.StringIO(text)).items()}


def certificates_drift(wanted: Mapping[str, str], files: Mapping[str, str]) -> list[Difference]:
    """Return the certificates that would be renewed: ``wanted`` says why, ``files`` where they are."""
    return [_difference(files[name], "certificate", "valid", why) for name, why in wanted.items() if why]


def env_file_drift(
    current: str, name: str, wanted: str, differences: list[dict[str, str]]
) -> list[Difference]:
    """Return how a rendered env file differs.

    :param current: its text: a header, the checksum of what follows, and that (role env_file).
    :param name: the file's name.
    :param wanted: what should follow.
    :param differences: of the variables, as the filter ``env_drift`` returned them.
    """
    recorded, body = split(current)
    if recorded is not None and body == wanted:
        return []
    edited = recorded != checksum(body)
    note = {"note": "edited by hand: a run stops and says what to do"} if edited else {}
    text = {
        "what": "text",
        "declared": "as rendered",
        "running": "edited" if edited else "from an earlier run",
    }
    return [{"object": name, **one, **note} for one in differences or [text]]


def named_drift(differences: list[Difference], name: str) -> list[Difference]:
    """Return differences of one object with its name."""
    return [{"object": name, **one} for one in differences]


def drift_relative(differences: list[Difference], folder: str) -> list[Difference]:
    """Return differences of files below the folder under their names from there."""
    return [one | {"object": one["object"].removeprefix(f"{folder.rstrip('/')}/")} for one in differences]


def drift_report(differences: list[Difference]) -> list[str]:
    """Return a line for people for each difference, once."""
    lines = [
        "{object}: {what}: declared {declared}, running {running}".format(**one)
        + (f" ({one['note']})" if "note" in one else "")
        for one in differences
    ]
    return list(dict.fromkeys(lines))


FilterModule = filters(
    network_drift,
    volumes_drift,
    undeclared_drift,
    files_drift,
    dotenv_parsed,
    named_drift,
    certificates_drift,
    env_file_drift,
    drift_relative,
    drift_report,
)
