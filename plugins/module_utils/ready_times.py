"""When containers became ready, kept for whoever asks later: the engine does not know it."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible import constants as C


def _file(name: str) -> Path:
    # Beside the folder that Ansible makes for this run; it is the user's own.
    return Path(C.DEFAULT_LOCAL_TMP).parent / f"dashtam.stack-ready-{name}.json"


def keep(found: dict[str, Any], seconds: float) -> None:
    """Keep the seconds between a container's start and its readiness, in place of those of a former start.

    :param found: what the engine's inspect says of it.
    """
    start = {"started": found["State"]["StartedAt"], "id": found["Id"], "seconds": round(seconds, 1)}
    with suppress(OSError):  # it is only shown
        _file(found["Name"].removeprefix("/")).write_text(json.dumps(start), encoding="utf-8")


def kept(found: dict[str, Any]) -> float | None:
    """Return the seconds of a container's present start, None if nobody waited for it."""
    try:
        start = json.loads(_file(found["Name"].removeprefix("/")).read_text(encoding="utf-8"))
        same = (start["started"], start["id"]) == (found["State"]["StartedAt"], found["Id"])
        return float(start["seconds"]) if same else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def health(found: dict[str, Any]) -> str | None:
    """Return a container's health as it was last known, None without a health check.

    A run asks it as soon as it starts, and the engine only after an interval: until then, whoever looks would
    find `starting` what the run has called ready.

    :param found: what the engine's inspect says of it.
    """
    known = found["State"].get("Health") or {}
    if known.get("Status") == "starting" and not known.get("Log") and kept(found) is not None:
        return "healthy"
    return known.get("Status")
