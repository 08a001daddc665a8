"""What a check has found, and how a person or a program is told."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OK, WARN, FAIL = "ok", "warn", "fail"


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    :param check: what was looked at, in a word or two.
    :param state: ``ok``, ``warn`` (it works, though not as it should) or ``fail`` (it does not work).
    :param text: what was found.
    :param remedy: the next command, or what to do; empty where nothing has to be done.
    """

    check: str
    state: str
    text: str
    remedy: str = ""


def make(target: str, instance: str = "", port_offset: int = 0, **variables: str) -> str:
    """Return the command that runs a target, for the instance that was asked about."""
    given = {"INSTANCE": instance, "PORT_OFFSET": str(port_offset or ""), **variables}
    return " ".join(
        ["make", target, *(f"{name}={shlex.quote(value)}" for name, value in given.items() if value)]
    )


def as_json(findings: list[Finding]) -> str:
    """Return all of it as JSON: ``failed`` (whether a check failed) and ``checks``."""
    failed = any(finding.state == FAIL for finding in findings)
    return json.dumps({"failed": failed, "checks": [asdict(finding) for finding in findings]}, indent=2)


def as_lines(findings: list[Finding]) -> str:
    """Return a line for each, its remedy below it, and a last line that counts them."""
    width = max(len(finding.check) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{finding.state:<5} {finding.check:<{width}}  {finding.text}")
        if finding.remedy:
            lines.append(f"{'':<5} {'':<{width}}  -> {finding.remedy}")
    count = {state: sum(finding.state == state for finding in findings) for state in (OK, WARN, FAIL)}
    return "\n".join([*lines, "", ", ".join(f"{number} {state}" for state, number in count.items())])
