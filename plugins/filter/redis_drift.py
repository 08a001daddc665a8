"""What settings.sh says of a server that was changed by hand."""

from __future__ import annotations

from typing import Any

from ansible_collections.dashtam.stack.plugins.module_utils.secrets import masked

DOCUMENTATION = """
name: redis_drift
short_description: Read the differences that settings.sh prints
description: See the function's docstring.
"""


def redis_drift(answer: dict[str, Any]) -> list[dict[str, str]]:
    """Return the differences as dicts with ``what``, ``declared`` and ``running``, texts for people.

    :param answer: ``rc`` and ``output``, as the lookup ``docker_exec`` hands them out. A server that does not
        answer is one difference.
    """
    lines = [line for line in answer["output"].splitlines() if line]
    if answer["rc"] != 0:
        return [
            {"what": "server", "declared": "answers", "running": lines[-1] if lines else "does not answer"}
        ]
    differences = []
    for name, *values in (line.split("\t") for line in lines):
        declared, running = (masked(name, value or None) or "none" for value in values)
        differences.append({"what": f"setting {name}", "declared": declared, "running": running})
    return differences


class FilterModule:
    """Names under which Ansible finds the filters."""

    def filters(self) -> dict[str, Any]:
        """Return filter names and functions."""
        return {"redis_drift": redis_drift}
