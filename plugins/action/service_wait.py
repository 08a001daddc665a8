"""Wait until services of a Swarm are as declared, or say why one was rolled back or never will be."""

from __future__ import annotations

import struct
import time
from typing import Any

import docker
from ansible_collections.dashtam.stack.plugins.module_utils import engine
from ansible_collections.dashtam.stack.plugins.module_utils.local_action import LocalAction
from ansible_collections.dashtam.stack.plugins.module_utils.service_progress import Progress, progress
from docker.errors import APIError, DockerException
from requests.exceptions import RequestException

DOCUMENTATION = """
name: service_wait
short_description: Wait for services of a Docker Swarm, and fail where one was rolled back
description:
  - The module docker_swarm_service returns before anything has started, and C(docker service update) ends
    with 0 after a rollback, too. This reads the update's state and the tasks themselves, from a manager, in
    the controller's process.
  - Fails with the error and the last log lines of the task that failed.
options:
  services:
    description: "Dicts with C(name) and C(changed): whether this run has changed it."
    type: list
    elements: dict
    required: true
  timeout:
    description: Seconds that all of them have together.
    type: int
    default: 300
  log_lines:
    description: Log lines shown of a task that failed.
    type: int
    default: 15
"""

RETURN = """
seconds:
  description: Service to the seconds from the wait's begin until it was as declared.
  type: dict
failed_services:
  description: Names of those that are not.
  type: list
"""

# Seconds between two looks; a task takes seconds to start.
PAUSE = 0.5


def frames(data: bytes) -> str:
    """Return the text of a log as the engine sends it: frames with a header of eight bytes."""
    text, place = b"", 0
    while place + 8 <= len(data):
        (length,) = struct.unpack(">I", data[place + 4 : place + 8])
        text += data[place + 8 : place + 8 + length]
        place += 8 + length
    return text.decode(errors="replace").rstrip()


def last_log(api: docker.APIClient, task: str, lines: int) -> str:
    """Return the end of a task's log, or why there is none; its node may be gone."""
    url = f"{api.base_url}/v{api.api_version}/tasks/{task}/logs"
    try:
        answer = api.get(url, params={"stdout": 1, "stderr": 1, "tail": lines}, timeout=20)
        answer.raise_for_status()
    except (DockerException, RequestException) as error:
        return f"  (no log: {engine.reason(error)})"
    return frames(answer.content) or "  (the log is empty)"


class Wait:
    """All services together; the first failure is the end."""

    def __init__(self, api: docker.APIClient, services: list[dict[str, Any]], log_lines: int) -> None:
        self.seconds: dict[str, float] = {}
        self.errors: dict[str, str] = {}
        self._api = api
        self._changed = {service["name"]: bool(service.get("changed")) for service in services}
        self._log_lines = log_lines
        self._waiting: dict[str, str] = {}

    def run(self, timeout: float) -> None:
        """Return when all are as declared, or one will not be."""
        begun = time.monotonic()
        while not self.errors:
            for name in self._changed.keys() - self.seconds.keys():
                found = self._look(name)
                self._waiting[name] = found.waiting
                if found.failure:
                    self.errors[name] = self._said(name, found)
                elif found.done:
                    self.seconds[name] = round(time.monotonic() - begun, 1)
            left = sorted(self._changed.keys() - self.seconds.keys())
            if not left:
                return
            if time.monotonic() - begun > timeout and not self.errors:
                for name in left:
                    self.errors[name] = (
                        f"{name} is not as declared after {timeout:.0f} s: {self._waiting[name]}.\n"
                        f"Next: docker service ps --no-trunc {name}"
                    )
            time.sleep(PAUSE)

    def _look(self, name: str) -> Progress:
        try:
            service = self._api.inspect_service(name)
        except APIError as error:
            return Progress(failure=f"it is not there: {error.explanation or error}")
        found = progress(service, self._api.tasks({"service": name}), self._changed[name])
        # Somebody else's change, which goes on, is waited for, and its end is news.
        if found.waiting.startswith(("updating", "rollback_started")):
            self._changed[name] = True
        return found

    def _said(self, name: str, found: Progress) -> str:
        log = ""
        if found.task:
            log = f"\nIts last log lines:\n{last_log(self._api, found.task, self._log_lines)}"
        return f"{name}: {found.failure}{log}\nNext: docker service ps --no-trunc {name}"


class ActionModule(LocalAction):
    """Wait for all services."""

    def act(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the module-like result, see RETURN."""
        if self.dry_run:
            return {"seconds": {}, "failed_services": []}
        with engine.client() as api:
            wait = Wait(api, arguments["services"], arguments["log_lines"])
            wait.run(arguments["timeout"])
        failure = {"failed": True, "msg": "\n".join(wait.errors.values())} if wait.errors else {}
        return {"seconds": wait.seconds, "failed_services": sorted(wait.errors)} | failure
