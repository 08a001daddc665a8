"""Restart containers, all at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible_collections.dashtam.stack.plugins.module_utils import engine, lock, progress
from ansible_collections.dashtam.stack.plugins.module_utils.local_action import LocalAction

DOCUMENTATION = """
name: container_restart
short_description: Restart containers
description:
  - Each is stopped with its own stop signal and time and started again; none is created.
  - Does not wait until they are ready.
options:
  names:
    description: Names of the containers.
    type: list
    elements: str
    required: true
  lock:
    description: The labels whose containers one run at a time changes, as for C(container_apply).
    type: dict
    required: true
"""

RETURN = """
restarted:
  description: The names; under C(--check), of what would be.
  type: list
  elements: str
"""


class ActionModule(LocalAction):
    """Stop and start, a thread each."""

    def act(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the module-like result."""
        names = arguments["names"]
        if names and not self.dry_run:
            with lock.exclusive(arguments["lock"]), ThreadPoolExecutor(max_workers=len(names)) as pool:
                list(pool.map(_restart, names))
        return {"changed": bool(names), "restarted": names}


def _restart(name: str) -> None:
    # A client each, as requests' sessions are not for several threads.
    with progress.step("container", name, "restarting", "restarted"), engine.client(timeout=120) as client:
        if client.inspect_container(name)["State"]["Paused"]:
            client.unpause(name)
        client.stop(name)
        client.start(name)
