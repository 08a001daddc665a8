"""Keep an environment's containers for this run."""

from __future__ import annotations

from typing import Any

from ansible_collections.dashtam.stack.plugins.module_utils import lock
from ansible_collections.dashtam.stack.plugins.module_utils.local_action import LocalAction

DOCUMENTATION = """
name: container_lock
short_description: Let no other run change an environment's containers until this run ends
description:
  - For a run whose changes belong together, such as a restore that stops the app, replaces its database and
    starts it again. Waits for what another run is changing.
  - Another run's C(container_apply), C(container_absent), C(container_restart) and C(networks) wait until
    this run has ended, however it ends. What that run compared before is out of date then, and it says so.
options:
  labels:
    description: The labels whose containers one run at a time changes, as for C(container_apply).
    type: dict
    required: true
"""


class ActionModule(LocalAction):
    """Take the lock and leave it with a process that ends with the run."""

    def act(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the module-like result."""
        if not self.dry_run:
            lock.hold(arguments["labels"])
        return {}
