"""How containers are at this moment, and why: their own health checks are asked again."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime
from typing import Any

import docker
from ansible_collections.dashtam.stack.plugins.module_utils import (
    addresses,
    container_parts,
    engine,
    ready_times,
    secrets,
)
from ansible_collections.dashtam.stack.plugins.module_utils.log_error import end_of_log
from ansible_collections.dashtam.stack.plugins.module_utils.quantities import NANOSECONDS, started_seconds_ago
from docker.errors import APIError, DockerException
from requests.exceptions import RequestException

# Of an engine that is busy; each question is a process in a container.
AT_A_TIME = 16
# The engine's own default.
LIMIT = 30.0
LONGEST = 300


def succeeds(client: docker.APIClient, container: str, command: list[str], limit: float) -> bool | None:
    """Run a command in a container; return whether it succeeds, None if it has not ended within the limit.

    :param limit: seconds. The command goes on, as the engine's API cannot end it.
    :raises docker.errors.APIError: there is no such container, or it does not run.
    """
    run = client.exec_create(container, command)["Id"]
    client.exec_start(run, detach=True)
    end, pause = time.monotonic() + limit, 0.02
    while time.monotonic() < end:
        found = client.exec_inspect(run)
        if not found["Running"] and found["ExitCode"] is not None:
            return bool(found["ExitCode"] == 0)
        time.sleep(pause)
        pause = min(pause * 1.5, 0.2)
    return None


def _command(check: dict[str, Any]) -> list[str]:
    kind, *rest = check.get("Test") or ["NONE"]
    return rest if kind == "CMD" else ["sh", "-c", *rest] if kind == "CMD-SHELL" else []


def _health(client: docker.APIClient, found: dict[str, Any]) -> tuple[str | None, str]:
    """Return a running container's health as of now, None without a health check, and its reason."""
    check = found["Config"].get("Healthcheck") or {}
    command, name = _command(check), found["Name"].removeprefix("/")
    if not command:
        return None, ""
    limit = (check.get("Timeout") or 0) / NANOSECONDS or LIMIT
    answer = succeeds(client, name, command, limit)
    if answer:
        return "healthy", ""
    status = (found["State"].get("Health") or {}).get("Status")
    fault = f"it does not answer within {limit:.0f} s" if answer is None else "its health check fails"
    return "starting" if status == "starting" else "unhealthy", _reason(client, found, fault)


def _last_health(client: docker.APIClient, found: dict[str, Any]) -> tuple[str | None, str]:
    """Return the same as it was last known."""
    status = ready_times.health(found)
    fault = "its health check fails"
    return status, _reason(client, found, fault) if status == "unhealthy" else ""


def _reason(client: docker.APIClient, found: dict[str, Any], fault: str) -> str:
    """Return the error that ends the log, what the last probe said, or the fault."""
    probes = (found["State"].get("Health") or {}).get("Log") or []
    said = probes[-1]["Output"].strip() if probes and probes[-1]["ExitCode"] != 0 else ""
    return end_of_log(client, found["Name"].removeprefix("/")).error or said or fault


def _ended(client: docker.APIClient, found: dict[str, Any]) -> str:
    """Return the reason why a container ended or keeps restarting, by its log."""
    end = end_of_log(client, found["Name"].removeprefix("/"))
    return found["State"].get("Error") or end.error or end.last


def variables(containers: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Return all that is in the environments of containers, for ``secrets.redacted``."""
    return {
        f"{found['Name']} {name}": value
        for found in containers
        for name, value in container_parts.variables(found["Config"]).items()
    }


def _look(
    client: docker.APIClient,
    found: dict[str, Any],
    beside: list[dict[str, Any]],
    env: dict[str, str],
    show: bool = False,
    probe: bool = True,
) -> dict[str, Any]:
    state = found["State"]
    health, reason = (state.get("Health") or {}).get("Status"), ""
    try:
        if state["Status"] == "running":
            health, reason = (_health if probe else _last_health)(client, found)
        elif state["Status"] in ("restarting", "dead") or state["ExitCode"]:
            health, reason = None, _ended(client, found)
        else:
            health = None
    except (APIError, DockerException, RequestException) as error:
        reason = f"it cannot be asked: {engine.reason(error)}"
    runs = state["Status"] == "running"
    return {
        "health": health,
        # A secret of one container can be in the log of another.
        "reason": secrets.redacted(reason, env)[:LONGEST] or None,
        "browser_url": addresses.browser_url(found, beside),
        "tool_url": addresses.tool_url(found, beside, show),
        "age_seconds": round(started_seconds_ago(state["StartedAt"] if runs else found["Created"])),
        "ready_seconds": ready_times.kept(found) if runs else None,
    }


def looks(containers: dict[str, dict[str, Any]], show: bool = False) -> dict[str, dict[str, Any]]:
    """Look at containers, several at a time.

    :param containers: name to what the engine's inspect says, with its variables.
    :param show: whether a ``tool_url`` may have its password.
    :returns: name to ``health`` as of now (None where the container does not run or has no health check),
        ``reason`` (None if all is well), ``browser_url``, ``tool_url`` (None if there is none),
        ``age_seconds`` since the start of a container that runs, or since another was created, and
        ``ready_seconds`` between its start and its readiness (None if nobody waited for it).
    """
    beside = list(containers.values())
    env = variables(beside)

    def ask(found: dict[str, Any]) -> dict[str, Any]:
        with closing(engine.connect()) as client:
            return _look(client, found, beside, env, show)

    with ThreadPoolExecutor(max_workers=AT_A_TIME) as pool:
        asked = {name: pool.submit(ask, found) for name, found in containers.items()}
        return {name: future.result() for name, future in asked.items()}


def last_looks(client: docker.APIClient, containers: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Look at containers without a question to any: ``health`` is what its last probe said.

    :returns: see ``looks``.
    """
    beside = list(containers.values())
    env = variables(beside)
    return {name: _look(client, found, beside, env, probe=False) for name, found in containers.items()}


def last_end(client: docker.APIClient, found: dict[str, Any]) -> str:
    """Return ``, exit code 3`` of a container that is or was restarted; nothing if the engine forgot it."""
    state = found["State"]
    if state["Restarting"] or not state["Running"]:
        return f", exit code {state['ExitCode']}"
    # While it runs again, its state says 0. Its end is an event, by the engine's clock.
    started = int(datetime.fromisoformat(state["StartedAt"]).timestamp())
    ends = client.events(
        since=started - 60,
        until=started + 1,
        filters={"container": found["Id"], "event": "die"},
        decode=True,
    )
    codes = [end["Actor"]["Attributes"]["exitCode"] for end in ends]
    return f", exit code {codes[-1]}" if codes else ""
