"""What a container may use of the machine, validated before an engine is asked."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from ansible_collections.dashtam.stack.plugins.module_utils.filter_module import filters
from ansible_collections.dashtam.stack.plugins.module_utils.quantities import in_bytes, shown_size

# The engine's own minimum of memory and processors; fewer processes or files are too few for any server.
# https://docs.docker.com/engine/containers/resource_constraints/
LEAST = {"memory": 6 * 2**20, "cpus": 0.01, "pids_limit": 16, "nofile": 64}
MAY_BE_NONE = ("memory", "cpus", "pids_limit")


def _number(kind: str, value: Any) -> float:
    return in_bytes(value) if kind == "memory" else float(value)


def limit_faults(limits: dict[str, Any], stored: dict[str, Any] | None = None) -> list[str]:
    """Return a sentence for each limit that is too low.

    :param limits: name of the variable, which ends with ``memory``, ``cpus``, ``pids_limit`` or ``nofile``,
        to its value; 0 is no limit, except for open files. What is no number is for the types' validation.
    :param stored: variable to the size of a tmpfs, whose content counts as memory of the container.
    """
    faults = []
    for name, value in limits.items():
        kind = next(kind for kind in LEAST if name.endswith(f"_{kind}"))
        with suppress(ValueError, TypeError):
            number = _number(kind, value)
            if number >= LEAST[kind] or (number == 0 and kind in MAY_BE_NONE):
                faults += _too_small_for(name, number, stored or {}) if kind == "memory" else []
                continue
            least = shown_size(int(LEAST[kind])) if kind == "memory" else f"{LEAST[kind]:g}"
            none = ", or 0 for no limit" if kind in MAY_BE_NONE else ""
            faults.append(f"{name} is {value}. It must be at least {least}{none}.")
    return faults


def _too_small_for(name: str, memory: float, stored: dict[str, Any]) -> list[str]:
    return [
        f"{name} is less than {other}={size}, whose content counts as memory. Raise one or lower the other."
        for other, size in stored.items()
        if 0 < memory < in_bytes(size)
    ]


FilterModule = filters(limit_faults)
