"""What databases.sql says of a server that is otherwise than declared."""

from __future__ import annotations

import json
from typing import Any

DOCUMENTATION = """
name: postgres_drift
short_description: Read the differences that databases.sql prints
description: See the function's docstring.
"""


def postgres_drift(answer: dict[str, Any]) -> list[dict[str, str]]:
    """Return the differences as dicts with ``what``, ``declared`` and ``running``, texts for people.

    :param answer: ``rc`` and ``output``, as the lookup ``docker_exec`` hands them out. A server that does not
        answer is one difference.
    """
    lines = [line for line in answer["output"].splitlines() if line]
    if answer["rc"] != 0:
        return [
            {"what": "server", "declared": "answers", "running": lines[-1] if lines else "does not answer"}
        ]
    return [
        {key: str(value) for key, value in json.loads(line).items() if key != "restart"} for line in lines
    ]


class FilterModule:
    """Names under which Ansible finds the filters."""

    def filters(self) -> dict[str, Any]:
        """Return filter names and functions."""
        return {"postgres_drift": postgres_drift}
