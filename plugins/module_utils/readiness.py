"""Whether containers are ready, asked inside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import docker
from ansible_collections.dashtam.stack.plugins.module_utils import engine, engine_exec
from ansible_collections.dashtam.stack.plugins.module_utils.quantities import started_seconds_ago
from ansible_collections.dashtam.stack.plugins.module_utils.survey import carries
from docker.errors import APIError, DockerException
from requests.exceptions import RequestException


def ask(client: docker.APIClient, name: str, question: dict[str, Any]) -> dict[str, Any]:
    """Return ``rc`` (-1 where the container does not run) and ``output`` of a question."""
    try:
        user, environment = question.get("user", ""), question.get("environment")
        code, output = engine_exec.execute(client, name, question["command"], user, environment)
    except APIError as error:
        code, output = -1, error.explanation or str(error)
    return {"rc": code, "output": output}


def differs(answer: dict[str, Any]) -> bool:
    """Say whether an answer is more than nothing."""
    return answer["rc"] != 0 or bool(answer["output"].strip())


@contextmanager
def look(
    probes: list[dict[str, Any]], labels: Mapping[str, str], version: str
) -> Iterator[Callable[[], dict[str, float]]]:
    """Look once at containers that run, a thread each, while the body does something else.

    A container that does not answer as expected counts as not ready. The action ``container_wait`` then waits
    for it, and says what is wrong.

    :param probes: what ``container_wait`` takes as ``containers``.
    :param labels: what a container has to carry to be asked: a question may hold secrets.
    :param version: the version of the engine's API.
    :returns: a function whose answer is the seconds since its start of each container that is ready and has
        what is declared.
    """
    with ThreadPoolExecutor(max_workers=len(probes) or 1) as pool:
        asked = {probe["name"]: pool.submit(_ready_since, probe, labels, version) for probe in probes}

        def seconds() -> dict[str, float]:
            answers = {name: future.result() for name, future in asked.items()}
            return {name: answer for name, answer in answers.items() if answer is not None}

        yield seconds


def _ready_since(probe: dict[str, Any], labels: Mapping[str, str], version: str) -> float | None:
    # A question that is answered with nothing has been answered by a server that is ready.
    question = probe.get("question") or {"command": probe["ready"]}
    try:
        client = engine.connect(version=version)
        try:
            found = client.inspect_container(probe["name"])
            state = found["State"]
            unhealthy = (state.get("Health") or {}).get("Status") == "unhealthy"
            if state["Status"] != "running" or unhealthy or not carries(found["Config"]["Labels"], labels):
                return None
            answer = ask(client, probe["name"], question)
        finally:
            client.close()
    except (DockerException, RequestException):
        return None
    ready = not differs(answer) if probe.get("question") else answer["rc"] == 0
    return started_seconds_ago(state["StartedAt"]) if ready else None
