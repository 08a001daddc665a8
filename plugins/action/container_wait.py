"""Wait until containers are ready, or say at once why one never will be."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import docker
from ansible_collections.dashtam.stack.plugins.module_utils import (
    engine,
    engine_exec,
    progress,
    ready_times,
)
from ansible_collections.dashtam.stack.plugins.module_utils.health import last_end, succeeds
from ansible_collections.dashtam.stack.plugins.module_utils.local_action import LocalAction, Problem
from ansible_collections.dashtam.stack.plugins.module_utils.log_error import end_of_log
from ansible_collections.dashtam.stack.plugins.module_utils.quantities import started_seconds_ago
from ansible_collections.dashtam.stack.plugins.module_utils.readiness import ask, differs
from docker.errors import APIError, DockerException
from requests.exceptions import RequestException

DOCUMENTATION = """
name: container_wait
short_description: Wait until a command succeeds in each container
description:
  - Asks each container's own readiness command through the engine's exec API. It waits for no health check's
    interval and needs no route to the container, which an internal network and macOS do not have.
  - Fails at once, with the last log lines, when a container exits, restarts or turns unhealthy, or when it
    does not answer and its log has ended with a traceback for some seconds.
  - P(community.docker.docker_container#module) with C(state=healthy) does neither.
  - A container can also be asked a question, whose answer is nothing where all is well. Any other answer ends
    the wait, as what it tells of may be why others never become ready.
options:
  containers:
    description:
      - Dicts with C(name) and C(ready) (the command and its arguments). C(question) is optional, a dict with
        C(command), C(user), C(environment) and C(at_once).
      - C(at_once) is for a container that was ready before. It is asked the question first, and if the answer
        is nothing, it is ready.
      - C(repair) in a question is added to its environment, so that the same command repairs, once.
        The question is asked again afterwards.
    type: list
    elements: dict
    required: true
  timeout:
    description: Seconds that all of them have together.
    type: int
    default: 120
"""

RETURN = """
seconds:
  description: Container name to the seconds between its start and the first look that found it ready.
  type: dict
repaired:
  description: Names of the containers in which something was set up.
  type: list
answers:
  description: Container name to C(rc) and C(output) of its question, where it was asked.
  type: dict
different:
  description: Whether the answer to a question was more than nothing, which ended the wait.
  type: bool
"""


# Seconds: an application that tries again by itself says so sooner.
QUIET = 3.0
# Seconds that a last question may take where the log says already that there will be no answer.
DOUBTFUL = 2.0

# Of a container that failed.
LOG_LINES = 15
# Seconds: one that was started longer before the wait may have been ready long ago.
RECENT = 10.0


class NotReadyError(Exception):
    """A container that will not become ready; its message is for people."""


def wait_for_one(
    client: docker.APIClient,
    name: str,
    command: list[str],
    deadline: float,
    stop: threading.Event,
    told: progress.Step,
) -> float | None:
    """Return the seconds between the container's start and the look that found it ready, None on ``stop``.

    :raises NotReadyError: it exited, restarted, turned unhealthy, does not exist, the deadline passed, or it
        will not answer, as its log says.
    """
    begun = time.monotonic()
    restarts, look_at_log = None, begun
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
            raise NotReadyError(f"{name} keeps restarting{last_end(client, found)}")
        try:
            if time.monotonic() >= look_at_log:
                look_at_log = time.monotonic() + 1
                end = end_of_log(client, name)
                told.detail(end.error or end.last)
                if end.error and end.silence > QUIET and not succeeds(client, name, command, DOUBTFUL):
                    raise NotReadyError(f"{name} does not answer: {end.error}")
            code, output = engine_exec.execute(client, name, command)
            if code == 0:
                seconds = started_seconds_ago(state["StartedAt"])
                if seconds < time.monotonic() - begun + RECENT and ready_times.kept(found) is None:
                    ready_times.keep(found, seconds)
                return seconds
            last = output.strip() or last
        except APIError as error:
            # It stopped between the look and the question; the next look says why.
            last = error.explanation or str(error)
        # After the question: a container that has just recovered stays unhealthy until the next interval.
        if (state.get("Health") or {}).get("Status") == "unhealthy":
            raise NotReadyError(f"{name} is unhealthy: {state['Health']['Log'][-1]['Output'].strip()}")
        if time.monotonic() > deadline:
            raise NotReadyError(f"{name} was not ready in time; its last answer: {last}")
        # A question costs the engine a process: ten a second, for long, keep a busy machine busy.
        time.sleep(max(0.1, (time.monotonic() - begun) / 10))
    return None


class Wait:
    """All containers at once, a thread each; the first failure or difference is the end."""

    def __init__(self, timeout: float) -> None:
        self.seconds: dict[str, float] = {}
        self.answers: dict[str, dict[str, Any]] = {}
        self.repaired: list[str] = []
        self.errors: list[str] = []
        # Questions without an answer yet: what they will tell may be why another container failed.
        self._open: set[str] = set()
        self._deadline = time.monotonic() + timeout
        self._stop = threading.Event()

    def run(self, containers: list[dict[str, Any]]) -> None:
        """Return when all are ready, one failed or one answered a question with more than nothing."""
        self._open = {container["name"] for container in containers if container.get("question")}
        with ThreadPoolExecutor(max_workers=len(containers) or 1) as pool:
            futures = [pool.submit(self._one, container) for container in containers]
            while not all(future.done() for future in futures):
                if self.different or (self.errors and not self._open):
                    self._stop.set()
                time.sleep(0.02)
        for future in futures:
            future.result()  # what nobody foresaw must not pass for "ready"

    @property
    def different(self) -> bool:
        return any(map(differs, list(self.answers.values())))  # threads add to them meanwhile

    def _one(self, container: dict[str, Any]) -> None:
        name, question = container["name"], container.get("question")
        client = engine.connect()
        try:
            if question and question.get("at_once"):
                self._ask(client, name, question)
                if not differs(self.answers[name]):
                    state = client.inspect_container(name)["State"]
                    self.seconds[name] = started_seconds_ago(state["StartedAt"])
                    return
            with progress.step("container", name, "waiting") as told:
                took = wait_for_one(client, name, container["ready"], self._deadline, self._stop, told)
            if took is not None:
                self.seconds[name] = took
                if question and not question.get("at_once"):
                    self._ask(client, name, question)
        except NotReadyError as error:
            self.errors.append(f"{error}\n{_last_log(client, name)}")
        except (DockerException, RequestException) as error:
            self.errors.append(f"{name}: the engine does not answer: {error}")
        finally:
            self._open.discard(name)
            client.close()

    def _ask(self, client: docker.APIClient, name: str, question: dict[str, Any]) -> None:
        answer = ask(client, name, question)
        if differs(answer) and question.get("repair"):
            environment = {**question.get("environment", {}), **question["repair"]}
            answer = ask(client, name, {**question, "environment": environment})
            self.repaired.append(name)
            if answer["rc"] == 0:
                answer = ask(client, name, question)
        self.answers[name] = answer
        self._open.discard(name)


class ActionModule(LocalAction):
    """Wait for all containers at once, a thread each."""

    def act(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the module-like result, see RETURN."""
        if self.dry_run:
            return {"seconds": {}, "repaired": [], "answers": {}, "different": True}
        wait = Wait(arguments["timeout"])
        wait.run(arguments["containers"])
        # What a question has told may be the reason of the failure, and can be repaired.
        if wait.errors and not wait.different:
            raise Problem("\n".join(wait.errors))
        found = {"seconds": wait.seconds, "answers": wait.answers, "different": wait.different}
        return {"changed": bool(wait.repaired), "repaired": wait.repaired, **found}


def _last_log(client: docker.APIClient, name: str) -> str:
    try:
        text = client.logs(name, tail=LOG_LINES).decode(errors="replace").rstrip()
    except (DockerException, RequestException) as error:
        return f"  (no log: {error})"
    return f"Its last log lines:\n{text}\nNext: docker logs {name}"
