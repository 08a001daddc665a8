"""Create, replace or start several containers at the same time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import docker
from ansible_collections.dashtam.stack.plugins.filter.containers import added_labels, container_redact
from ansible_collections.dashtam.stack.plugins.module_utils import engine, engine_containers, lock, progress
from ansible_collections.dashtam.stack.plugins.module_utils.local_action import LocalAction, Problem

DOCUMENTATION = """
name: container_apply
short_description: Make containers what is declared
description:
  - Creates, replaces and starts them through the engine's API in the controller's process, and keeps the old
    container until the new one has started. docs/decisions/0009-engine-api.md says why
    P(community.docker.docker_container#module) is not used.
  - Changes nothing if another run has changed the containers since they were compared, and begins nothing
    more once its own run has been killed.
options:
  specs:
    description: The containers (role C(container), C(container_specs)). The first ones are started first.
    type: list
    elements: dict
    required: true
  states:
    description: What the action C(container_compare) returned as C(states).
    type: list
    elements: dict
    required: true
  labels:
    description: The labels that all of an environment's containers have. One run at a time changes them.
    type: dict
    required: true
  turn:
    description: What C(container_compare) returned as C(turn).
    type: int
    required: true
  engine:
    description: What C(container_compare) returned as C(engine). Another engine is left alone.
    type: str
    default: ""
  hash_label:
    description: The label that will hold a declaration's hash.
    type: str
    required: true
  project:
    description: As for C(container_compare).
    type: dict
    required: true
  log:
    description: C(driver) and C(options) that every container has.
    type: dict
    required: true
"""

# On a machine with two processors more at a time would delay the first, which takes longest to become ready.
AT_A_TIME = 2
OVERTAKEN = "Another run has changed these containers since they were compared. Run this again."


class ActionModule(LocalAction):
    """Apply each, several at a time."""

    def act(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Fail with what the engine said of each container that failed, without its secrets."""
        states = {each["name"]: each["state"] for each in arguments["states"]}
        specs = [spec for spec in arguments["specs"] if states[spec["name"]] != "running"]
        run = os.getppid()

        def apply(spec: dict[str, Any]) -> str:
            if os.getppid() != run:
                return f"{spec['name']}: not started, because the run was killed"
            labels = spec["labels"] | added_labels(spec, arguments["hash_label"], arguments["project"])
            ended = "started" if states[spec["name"]] in ("stopped", "missing") else "replaced"
            try:
                with progress.step("container", spec["name"], "starting", ended), engine.client() as api:
                    if states[spec["name"]] == "stopped":
                        engine_containers.start(api, spec["name"])
                    else:
                        with _new_volumes(api, spec):
                            engine_containers.replace(
                                api, spec, labels, arguments["log"], arguments["labels"]
                            )
            except engine.EngineError as error:
                return f"{spec['name']}: {container_redact(str(error), specs)}"
            return ""

        with lock.exclusive(arguments["labels"]) as turn:
            if specs and turn.number != arguments["turn"]:
                raise Problem(OVERTAKEN)
            if specs:
                with engine.client() as api:
                    engine.require_same(api, arguments["engine"])
                turn.begin()
            with ThreadPoolExecutor(max_workers=AT_A_TIME) as pool:
                problems = [problem for problem in pool.map(apply, specs) if problem]
        if problems:
            raise Problem("\n".join(problems))
        return {"changed": bool(specs)}


@contextmanager
def _new_volumes(api: docker.APIClient, spec: dict[str, Any]) -> Iterator[None]:
    """Tell of the volumes that the body makes: the mount that wants a volume makes it."""
    named = {mount["source"] for mount in spec["mounts"] if mount["type"] == "volume" and mount.get("source")}
    had = {each["Name"] for each in api.volumes()["Volumes"] or []} if named else set()
    yield
    for name in sorted(named - had):
        progress.Step("volume", name, "").end("created")
