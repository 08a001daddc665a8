"""Run a command that changes something in a container, in the controller's process."""

from __future__ import annotations

from typing import Any

from ansible_collections.dashtam.stack.plugins.module_utils import engine, engine_exec
from ansible_collections.dashtam.stack.plugins.module_utils.local_action import LocalAction

DOCUMENTATION = """
name: container_exec
short_description: Run a command in a container
description:
  - As P(community.docker.docker_container_exec#module), in hundredths of a second. Skipped under C(--check).
  - Fails where the command does not exit with 0. For questions, there is the lookup C(docker_exec).
options:
  container:
    description: Name or id of the container.
    type: str
    required: true
  command:
    description: The command and its arguments; no shell unless it names one.
    type: list
    elements: str
    required: true
  user:
    description: User inside the container; the container's own when empty.
    type: str
    default: ""
  env:
    description: Added to the command's environment. Secrets go here, not into the command, which C(ps) shows.
    type: dict
    default: {}
"""

RETURN = """
rc:
  description: The exit code.
  type: int
stdout:
  description: What the command printed, errors among it.
  type: str
"""


class ActionModule(LocalAction):
    """Run it to its end."""

    def act(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the module-like result, see RETURN."""
        if self.dry_run:
            return {"skipped": True, "rc": 0, "stdout": ""}
        with engine.client() as client:
            code, output = engine_exec.execute(
                client, arguments["container"], arguments["command"], arguments["user"], arguments["env"]
            )
        failure = {"failed": True, "msg": output.strip() or f"exit code {code}"} if code else {}
        return {"changed": True, "rc": code, "stdout": output} | failure
