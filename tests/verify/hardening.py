"""What confines each container, judged by `docker inspect` and by /proc inside it.

Usage: python -m tests.verify.hardening dev|test|ci [instance]

prints `hardening dev: N of 68` (17 checks of 4 services, of the fake Schwab where it has to be or
runs, and of what watches them if it runs) and a line for each failure; exits with 1 unless all hold.
"""

from __future__ import annotations

import re
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import docker

from tests import inside
from tests.verify.confinement import CHECKS, FAKE, checks

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("postgres", "redis", "app", "callback")
MONITORING = ("prometheus", "postgres-exporter", "redis-exporter")
# In dev it is a person's choice.
WITH_FAKE = ("test", "ci")
# Each process's status (one may end meanwhile), then what the first one has.
READ_PROC = """
for folder in /proc/[0-9]*; do echo "== ${folder#/proc/}"; cat "$folder/status" 2>/dev/null; done
echo "== limits"; cat /proc/1/limits
echo "== mounts"; cat /proc/1/mounts
"""


def read_proc(printed: str) -> dict[str, Any]:
    """Return what the script `READ_PROC` printed inside a container.

    :returns: `processes` (pid to its status, name to value), `limits` (name to soft and hard limit) and
        `mounts` (target to the file system's kind and options); see proc(5).
    """
    parts = dict(part.partition("\n")[::2] for part in re.split("^== ", printed, flags=re.MULTILINE) if part)
    processes = {
        name: dict(re.findall(r"^(\w+):\s*(.*)$", text, flags=re.MULTILINE))
        for name, text in parts.items()
        if name.isdigit() and text
    }
    limits = (re.split(r"\s{2,}", line) for line in parts["limits"].splitlines())
    mounts = (line.split() for line in parts["mounts"].splitlines())
    return {
        "processes": processes,
        "limits": {name: (soft, hard) for name, soft, hard, *_ in limits},
        "mounts": {target: (kind, options.split(",")) for _, target, kind, options, *_ in mounts},
    }


def judge(environment: str, instance: str = "dashtam", checkout: Path = ROOT) -> tuple[int, int, list[str]]:
    """Judge an environment that runs.

    :returns: how many checks hold, of how many, and a line for each other one; of a service that does not run
        none holds.
    :raises docker.errors.DockerException: the engine does not answer.
    """
    held, total, lines = 0, 0, []
    with closing(docker.from_env()) as client:
        for service in (*SERVICES, FAKE, *MONITORING):
            labels = {
                "dashtam.environment": environment,
                "dashtam.instance": instance,
                "dashtam.service": service,
                "dashtam.checkout": str(checkout),
            }
            wanted = [f"{name}={value}" for name, value in labels.items()]
            found = client.containers.list(filters={"label": wanted})
            required = service in SERVICES or (service == FAKE and environment in WITH_FAKE)
            if not required and not found:
                continue
            total += CHECKS
            if len(found) != 1:
                lines.append(
                    f"{service}: {CHECKS} checks: {len(found)} containers of {checkout} run, not one"
                )
                continue
            (container,) = found
            printed = inside.said(container, ["sh", "-c", READ_PROC])
            verdicts = checks(container.attrs, read_proc(printed))
            held += sum(verdict.ok for verdict in verdicts)
            lines += [f"{service}: {verdict.name}: {verdict.why}" for verdict in verdicts if not verdict.ok]
    return held, total, lines


def main(arguments: list[str]) -> int:
    """Judge the environment that is named, print the count and what fails, and return the exit code."""
    if len(arguments) not in (1, 2) or arguments[0] not in ("dev", "test", "ci"):
        print("usage: python -m tests.verify.hardening dev|test|ci [instance]", file=sys.stderr)  # noqa: T201
        return 2
    try:
        held, total, lines = judge(*arguments)
    except docker.errors.DockerException as error:
        print(f"The Docker engine does not answer: {error}. Start it (make engine).", file=sys.stderr)  # noqa: T201
        return 2
    print("\n".join([f"hardening {arguments[0]}: {held} of {total}", *lines]))  # noqa: T201
    return 0 if held == total else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
