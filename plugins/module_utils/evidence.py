"""A folder with what somebody needs to understand a failure elsewhere, without secrets."""

from __future__ import annotations

import contextlib
import json
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import docker
from ansible.release import __version__ as ansible_version
from ansible_collections.dashtam.stack.plugins.module_utils import engine, health, private_files, secrets
from ansible_collections.dashtam.stack.plugins.module_utils.container_parts import variables

# Of a container's log; a busy one's may be gigabytes.
LOG_LINES = 5000


def _inspected(found: dict[str, Any]) -> str:
    masked = {name: secrets.masked(name, value) for name, value in variables(found["Config"]).items()}
    config = found["Config"] | {"Env": [f"{name}={value}" for name, value in masked.items()]}
    return json.dumps(found | {"Config": config}, indent=2)


def _probes(found: dict[str, Any]) -> str:
    """Return a line for each of the last probes of a health check, the engine keeps five."""
    health = found["State"].get("Health") or {}
    probes = [
        f"{probe['Start']} to {probe['End']}, exit code {probe['ExitCode']}: {probe['Output'].strip()}"
        for probe in health.get("Log") or []
    ]
    return "\n".join([health.get("Status") or "no health check", *probes])


def _state(found: dict[str, Any]) -> str:
    state = found["State"]
    health = f", {state['Health']['Status']}" if state.get("Health") else ""
    return (
        f"{found['Name'].removeprefix('/')}: {state['Status']}{health}, exit code {state['ExitCode']}, "
        f"{found['RestartCount']} restarts"
    )


def _revision(checkout: Path) -> str | None:
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty"]
    # A machine without git has other evidence.
    with contextlib.suppress(OSError):
        said = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - git, with no shell
        return said.stdout.strip() or None
    return None


def _versions(client: docker.APIClient | None, checkout: Path) -> dict[str, Any]:
    known = client.version() if client else {}
    return {
        "checkout": _revision(checkout),
        "ansible-core": ansible_version,
        "python": platform.python_version(),
        "system": platform.platform(),
        "docker SDK": docker.__version__,
        "engine": known.get("Version"),
        "engine's API": known.get("ApiVersion"),
    }


def write(checkout: Path, failures: list[str], labels: list[dict[str, str]]) -> Path:
    """Write the folder and return it: ``reports/evidence/<time>``.

    :param checkout: the folder that has ``reports``.
    :param failures: what was said of each failure.
    :param labels: of each environment that failed, what its containers carry.
    :raises OSError: the folder cannot be written.
    """
    folder = checkout / "reports/evidence" / datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
    private_files.make_parents(folder)
    files = {"failure.txt": "\n\n".join(failures)}
    env: dict[str, str] = {}
    states: list[str] = []
    try:
        with engine.client(timeout=20) as client:
            files["versions.json"] = json.dumps(_versions(client, checkout), indent=2)
            for wanted in labels:
                filters = {"label": [f"{name}={value}" for name, value in wanted.items()]}
                for summary in client.containers(all=True, filters=filters):
                    found = client.inspect_container(summary["Id"])
                    name = found["Name"].removeprefix("/")
                    # A secret of one container can be in the log of another.
                    env |= health.variables([found])
                    states.append(_state(found))
                    files[f"{name}.inspect.json"] = _inspected(found)
                    files[f"{name}.health.txt"] = _probes(found)
                    log = client.logs(name, tail=LOG_LINES, timestamps=True)
                    files[f"{name}.log"] = log.decode(errors="replace")
    except (engine.EngineError, docker.errors.DockerException) as error:
        states.append(str(error))
        files.setdefault("versions.json", json.dumps(_versions(None, checkout), indent=2))
    files["containers.txt"] = "\n".join(states)
    for name, text in files.items():
        private_files.write(folder / name, f"{secrets.redacted(text, env).rstrip()}\n")
    return folder
