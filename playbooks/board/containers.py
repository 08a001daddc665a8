"""What the engine has, as the board shows it: without any secret."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import docker
from ansible_collections.dashtam.stack.plugins.filter.container_status import container_instances
from ansible_collections.dashtam.stack.plugins.module_utils import engine, health, secrets
from ansible_collections.dashtam.stack.plugins.module_utils.survey import survey

PREFIX = "dashtam"
LABEL = f"{PREFIX}.instance"
LOG_LINES = 40
# Of a line, which may be a whole document.
LOG_LINE = 2000
# An exec is a health check's question; the engine tells of each, and it changes nothing.
EVENTS = (
    *("create", "start", "die", "kill", "oom", "pause", "unpause", "rename", "destroy", "update"),
    *("health_status", "connect", "disconnect", "remove", "mount", "unmount"),
)
# Colours, cursors and titles that a program sends to a terminal.
ESCAPE = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07]*\x07|.)")
PAUSE = 2.0


class UnknownError(Exception):
    """There is no such container among those that the board shows."""


def look() -> list[dict[str, Any]]:
    """Return what `make ls FORMAT=json` does, with each container's look, and when it was started.

    Health is what the engine knows: nothing is asked, so looking costs the containers nothing.

    :raises EngineError: the engine does not answer.
    """
    with engine.client(timeout=20) as client:
        found = survey(client, set(), {}, label=LABEL, looks=True, probe=False)
    for each in found["containers"].values():
        # An age changes with every look, and what did not change is not sent.
        del each["Look"]["age_seconds"]
        each["Look"]["started"] = each["State"]["StartedAt"] if each["State"]["Running"] else None
    return container_instances(found, PREFIX)


def log(name: str) -> str:
    """Return the end of a container's log, secrets masked: its own, and those of the containers beside it.

    :raises UnknownError: it is no container of an instance.
    :raises EngineError: the engine does not answer.
    """
    with engine.client(timeout=20) as client:
        shown = {each["Names"][0].removeprefix("/"): each for each in client.containers(all=True)}
        labels = shown[name]["Labels"] if name in shown else {}
        if LABEL not in labels:
            raise UnknownError(name)
        beside = [
            client.inspect_container(each["Id"])
            for each in shown.values()
            if each["Labels"].get(LABEL) == labels[LABEL]
        ]
        text = client.logs(name, tail=LOG_LINES).decode(errors="replace")
    # Before the lines are cut: a part of a secret would not be found.
    text = ESCAPE.sub("", secrets.redacted(text, health.variables(beside)))
    return "\n".join(line[:LOG_LINE].rstrip() for line in text.splitlines())


def without_secrets(content: Any, instance: str) -> Any:
    """Return data with the secrets of an instance's containers masked in its texts.

    :raises EngineError: the engine does not answer.
    """
    with engine.client(timeout=20) as client:
        listed = client.containers(all=True, filters={"label": f"{LABEL}={instance}"})
        env = health.variables([client.inspect_container(each["Id"]) for each in listed])

    def masked(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: masked(each) for key, each in value.items()}
        if isinstance(value, list):
            return [masked(each) for each in value]
        return secrets.redacted(value, env) if isinstance(value, str) else value

    return masked(content)


def listen(tell: Callable[[], None]) -> None:
    """Call ``tell`` for whatever happens to an object of an instance; never returns."""
    while True:
        try:
            with engine.client() as client:
                for _ in client.events(filters={"event": list(EVENTS)}, decode=True):
                    tell()
        except (engine.EngineError, docker.errors.DockerException, ValueError):
            pass  # the next look says that it does not answer
        tell()
        time.sleep(PAUSE)
