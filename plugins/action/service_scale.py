"""Change how many tasks services have, and nothing else of them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import docker
from ansible_collections.dashtam.stack.plugins.module_utils import engine, service_specs
from ansible_collections.dashtam.stack.plugins.module_utils.local_action import LocalAction, Problem

DOCUMENTATION = """
name: service_scale
short_description: Set the number of tasks of services of a Docker Swarm
description:
  - Whatever else was declared of them stays. Waits until no task of a service runs that has none any more;
    the action C(service_wait) waits for tasks that start.
options:
  replicas:
    description: Name of the service to its number of tasks.
    type: dict
    required: true
  timeout:
    description: Seconds that tasks may take to stop.
    type: int
    default: 120
"""

RETURN = """
before:
  description: Name of the service to the number of tasks that it had before.
  type: dict
"""

ENDED = ("complete", "shutdown", "failed", "rejected", "remove", "orphaned")


def alive(tasks: list[dict[str, Any]], reachable: set[str]) -> list[str]:
    """Return the tasks that may still work. What a node that is gone last said of its tasks is no news."""
    return [
        task["ID"]
        for task in tasks
        if task["Status"]["State"] not in ENDED and task.get("NodeID", "") in reachable
    ]


def set_number(spec: dict[str, Any], number: int) -> None:
    """Change the number of tasks in a service's declaration."""
    spec["Mode"]["Replicated"]["Replicas"] = number


def scale(api: docker.APIClient, replicas: Mapping[str, int], timeout: float) -> dict[str, int]:
    """Set the numbers; return those before. Raises Problem where a service has none, or does not stop."""
    before = {}
    for name in replicas:
        mode = service_specs.found(api, name)["Spec"]["Mode"]
        if "Replicated" not in mode:
            raise Problem(f"{name} has no number of tasks: it is {next(iter(mode))}")
        before[name] = int(mode["Replicated"].get("Replicas", 1))
    for name, number in replicas.items():
        service_specs.change(api, name, partial(set_number, number=number))
    end = time.monotonic() + timeout
    for name in (name for name, number in replicas.items() if not number):
        while alive(api.tasks({"service": name}), reachable(api)):
            if time.monotonic() > end:
                raise Problem(f"{name} still has tasks after {timeout:.0f} s: docker service ps {name}")
            time.sleep(service_specs.PAUSE)
    return before


def reachable(api: docker.APIClient) -> set[str]:
    """Return the nodes that the managers hear from."""
    return {node["ID"] for node in api.nodes() if node["Status"]["State"] == "ready"}


class ActionModule(LocalAction):
    """Do it in the controller's process; see DOCUMENTATION."""

    def act(self, args: dict[str, Any]) -> dict[str, Any]:
        """Return the module-like result, see RETURN."""
        if self.dry_run:
            return {"skipped": True, "before": {}}
        replicas = {name: int(number) for name, number in args["replicas"].items()}
        with engine.client() as api:
            before = scale(api, replicas, args["timeout"])
        return {"changed": before != replicas, "before": before}
