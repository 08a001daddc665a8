"""Which secrets of a Swarm have the declared values already."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from ansible_collections.dashtam.stack.plugins.module_utils.filter_module import filters


def _key(secret: dict[str, Any]) -> str:
    """Return what docker_secret compares values by, its label C(ansible_key)."""
    data = Path(secret["data_src"]).read_bytes() if "data_src" in secret else str(secret["data"]).encode()
    return hashlib.sha224(data).hexdigest()


def secrets_kept(
    wanted: list[dict[str, Any]], found: list[dict[str, Any]], labels: dict[str, str]
) -> dict[str, dict[str, str]]:
    """Return secret to ``name`` and ``id`` of its newest version, if that has the value and the labels.

    A call of the module takes half a second for each of twenty secrets, and mostly none has changed.

    :param wanted: see the filter ``service_secrets``.
    :param found: see the lookup ``swarm_secrets``.
    """
    newest: dict[str, dict[str, Any]] = {}
    for secret in found:
        name, _, number = secret["name"].rpartition("_v")
        if number.isdecimal() and int(number) > int(newest.get(name, {}).get("number", 0)):
            newest[name] = secret | {"number": number}
    return {
        secret["name"]: {"name": there["name"], "id": there["id"]}
        for secret in wanted
        if (there := newest.get(secret["name"]))
        and all(
            there["labels"].get(name) == value
            for name, value in ({**labels, "ansible_key": _key(secret)}).items()
        )
    }


FilterModule = filters(secrets_kept)
