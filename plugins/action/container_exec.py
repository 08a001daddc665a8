"""Run a command that changes something in a container, in the controller's process."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.dashtam.stack.plugins.module_utils import engine

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


class ActionModule(ActionBase):
    """Run it to its end."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module-like result, see RETURN."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(
            argument_spec={
                "container": {"type": "str", "required": True},
                "command": {"type": "list", "elements": "str", "required": True},
                "user": {"type": "str", "default": ""},
                "env": {"type": "dict", "default": {}},
            }
        )
        if self._task.check_mode:
            return result | {"skipped": True, "changed": False, "rc": 0, "stdout": ""}
        with engine.client(timeout=600) as client:
            code, output = engine.execute(
                client, arguments["container"], arguments["command"], arguments["user"], arguments["env"]
            )
        result |= {"changed": True, "rc": code, "stdout": output}
        return (
            result if code == 0 else result | {"failed": True, "msg": output.strip() or f"exit code {code}"}
        )
