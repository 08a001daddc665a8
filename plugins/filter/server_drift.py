"""What databases.sql and settings.sh say of a server that differs from its declaration."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from ansible_collections.dashtam.stack.plugins.module_utils.filter_module import filters
from ansible_collections.dashtam.stack.plugins.module_utils.secrets import masked

Difference = dict[str, str]
# As `ACL LIST` shows a password.
PASSWORD_HASH = re.compile(r"#[0-9a-f]{64}")


def _differences(answer: dict[str, Any], read: Callable[[str], Difference]) -> list[Difference]:
    lines = [line for line in answer["output"].splitlines() if line]
    if answer["rc"] != 0:
        reason = lines[-1] if lines else "does not answer"
        return [{"what": "server", "declared": "answers", "running": reason}]
    return [read(line) for line in lines]


def postgres_drift(answer: dict[str, Any]) -> list[Difference]:
    """Return the differences as dicts with ``what``, ``declared`` and ``running``, texts for people.

    :param answer: ``rc`` and ``output`` of databases.sql, as the lookup ``docker_exec`` returns them. A
        server that does not answer is one difference.
    """

    def read(line: str) -> Difference:
        return {key: str(value) for key, value in json.loads(line).items() if key != "restart"}

    return _differences(answer, read)


def redis_drift(answer: dict[str, Any]) -> list[Difference]:
    """Return the same of Redis; ``answer`` is that of settings.sh.

    Users are among it, their rules without passwords.
    """

    def read(line: str) -> Difference:
        name, *values = line.split("\t")
        if name.startswith("user "):
            declared, running = (PASSWORD_HASH.sub("#***", value) or "none" for value in values)
            if declared == running:
                running += " (another password)"
            return {"what": name, "declared": declared, "running": running}
        declared, running = (masked(name, value or None) or "none" for value in values)
        return {"what": f"setting {name}", "declared": declared, "running": running}

    return _differences(answer, read)


FilterModule = filters(postgres_drift, redis_drift)
