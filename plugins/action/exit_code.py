"""End a play with the exit code of a process that it ran, or of a comparison that it made.

    - name: Exit with pytest's code
      dashtam.stack.exit_code:
        code: "{{ tests.rc }}"

Put it last: a code other than 0 fails the task, and with it the play. ansible-playbook therefore never exits
with 0, whatever callbacks are configured. The callback of the same name turns Ansible's 2 into the code.
"""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """Return the code as `process_exit_code`, and fail unless it is 0."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, args = self.validate_argument_spec({"code": {"type": "int", "required": True}})
        code = args["code"]
        return result | {
            "changed": False,
            "failed": code != 0,
            "msg": f"The exit code is {code}.",
            "process_exit_code": code,
        }
