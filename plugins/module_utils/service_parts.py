"""What of a declared container matters to a service of a Swarm, for its checks and its translation alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible_collections.dashtam.stack.plugins.module_utils.secrets import URL_PASSWORD, is_secret


def secrets(spec: dict[str, Any]) -> dict[str, str]:
    """Return the variables whose values hold a secret; an empty value is none."""
    return {
        name: str(value)
        for name, value in spec["env"].items()
        if str(value) and (is_secret(name) or URL_PASSWORD.search(str(value)))
    }


def files(spec: dict[str, Any]) -> dict[str, str]:
    """Return the path inside to the file of this machine, for all that are mounted; folders are refused."""
    return {mount["target"]: mount["source"] for mount in spec["mounts"] if mount["type"] == "bind"}


def source_name(source: str) -> str:
    """Return what the secret of a mounted file is called."""
    return Path(source).name


def all_secrets(entries: list[dict[str, Any]], prefix: str) -> Iterator[dict[str, Any]]:
    """Yield each secret of each service: its ``name``, and ``data`` or the file ``data_src``."""
    for entry in entries:
        for name, value in secrets(entry["container"]).items():
            yield {"name": f"{prefix}_{name}", "data": value}
        for source in files(entry["container"]).values():
            yield {"name": f"{prefix}_{source_name(source)}", "data_src": source}
