"""Wait until containers are ready, or say at once why one never will be."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import docker
from ansible.plugins.action import ActionBase
from docker.errors import DockerException
from requests.exceptions import RequestException

DOCUMENTATION = """
name: container_wait
short_description: Wait until a command succeeds in each container
description:
  - Asks each container's own readiness command through the engine's exec API. It waits for no health check's
    interval and needs no route to the container, which an internal network and macOS do not have.
  - Fails at once, with the last log lines, when a container exits, restarts or turns unhealthy.
  - P(community.docker.docker_container#module) with C(state=healthy) does neither.
options:
  containers:
    description: Dicts with C(name) and C(ready) (the command and its arguments).
    type: list
    elements: dict
    required: true
  timeout:
    description: Seconds that all of them have together.
    type: int
    default: 120
  log_lines:
    description: Log lines shown of a container that failed.
    type: int
    default: 15
"""

RETURN = """
seconds:
  description: Container name to the seconds between its start and the first look that found it ready.
  type: dict
"""


class NotReadyError(Exception):
    """A container that will not become ready; its message is for people."""


def started_seconds_ago(started_at: str) -> float:
    """Return the age of the engine's RFC 3339 time stamp in seconds."""
    # Nanoseconds are more than datetime takes.
    moment = datetime.fromisoformat(started_at.split(".")[0].removesuffix("Z") + "+00:00")
    fraction = float("0." + started_at.split(".")[1].rstrip("Z")) if "." in started_at else 0.0
    return (datetime.now(UTC) - moment).total_seconds() - fraction


def wait_for_one(
    client: docker.APIClient, name: str, command: list[str], deadline: float, stop: threading.Event
) -> float | None:
    """Return the seconds between the container's start and the look that found it ready, None on ``stop``.

    :raises NotReadyError: it exited, restarted, turned unhealthy, does not exist, or the deadline passed.
    """
    begun = time.monotonic()
    restarts = None
    last = "its readiness command has not answered yet"
    while not stop.is_set():
        try:
            found = client.inspect_container(name)
        except docker.errors.NotFound:
            raise NotReadyError(f"{name} does not exist any more") from None
        state = found["State"]
        if restarts is None:
            restarts = found["RestartCount"]
        if state["Status"] in ("exited", "dead", "removing", "paused"):
            raise NotReadyError(f"{name} is {state['Status']}, exit code {state['ExitCode']}")
        if state["Restarting"] or found["RestartCount"] > restarts:
            raise NotReadyError(f"{name} keeps restarting, exit code {state['ExitCode']}")
        try:
            created = client.exec_create(name, command)
            output = client.exec_start(created["Id"])
            if client.exec_inspect(created["Id"])["ExitCode"] == 0:
                return started_seconds_ago(state["StartedAt"])
            last = output.decode(errors="replace").strip() or last
        except docker.errors.APIError as error:
            # It stopped between the look and the question; the next look says why.
            last = error.explanation or str(error)
        # After the question: a container that has just recovered stays unhealthy until the next interval.
        if (state.get("Health") or {}).get("Status") == "unhealthy":
            raise NotReadyError(f"{name} is unhealthy: {state['Health']['Log'][-1]['Output'].strip()}")
        if time.monotonic() > deadline:
            raise NotReadyError(f"{name} is not ready in time; it last said: {last}")
        # A question costs the engine a process: ten a second, for long, keep a busy machine busy.
        time.sleep(max(0.1, (time.monotonic() - begun) / 10))
    return None


class ActionModule(ActionBase):
    """Wait for all containers at once, a thread each."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module-like result, see RETURN."""
        result = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(
            argument_spec={
                "containers": {"type": "list", "elements": "dict", "required": True},
                "timeout": {"type": "int", "default": 120},
                "log_lines": {"type": "int", "default": 15},
            }
        )
        if self._task.check_mode:
            return result | {"changed": False, "seconds": {}, "skipped": True}
        deadline = time.monotonic() + arguments["timeout"]
        seconds: dict[str, float] = {}
        errors: list[str] = []
        stop = threading.Event()

        def one(container: dict[str, Any]) -> None:
            client = docker.from_env().api
            try:
                took = wait_for_one(client, container["name"], container["ready"], deadline, stop)
                if took is not None:
                    seconds[container["name"]] = took
            except NotReadyError as error:
                errors.append(f"{error}\n{_last_log(client, container['name'], arguments['log_lines'])}")
            except (DockerException, RequestException) as error:
                errors.append(f"{container['name']}: the engine does not answer: {error}")
            finally:
                client.close()

        with ThreadPoolExecutor(max_workers=len(arguments["containers"]) or 1) as pool:
            futures = [pool.submit(one, container) for container in arguments["containers"]]
            # The first failure is the answer: the others may never become ready because of it.
            while not errors and not all(future.done() for future in futures):
                time.sleep(0.05)
            stop.set()
        for future in futures:
            future.result()  # what nobody foresaw must not pass for "ready"
        if errors:
            return result | {"failed": True, "msg": "\n".join(errors), "seconds": seconds}
        return result | {"changed": False, "seconds": seconds}


def _last_log(client: docker.APIClient, name: str, lines: int) -> str:
    try:
        text = client.logs(name, tail=lines).decode(errors="replace").rstrip()
    except (DockerException, RequestException) as error:
        return f"  (no log: {error})"
    return f"Its last log lines:\n{text}\nNext: docker logs {name}"
