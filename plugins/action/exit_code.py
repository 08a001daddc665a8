"""End a play with the exit code of a process that it ran, or of a comparison that it made.

    - name: Exit with pytest's code
      dashtam.stack.exit_code:
        code: "{{ tests.rc }}"
        file: reports/exit-code

Put it last: a code other than 0 fails the task, and with it the play. ansible-playbook therefore never exits
with 0, whatever callbacks are configured. The callback of the same name turns Ansible's 2 into the code.
`file`, which may be left out, gets the code as text, for programs that see the reports but not the process.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from ansible_collections.dashtam.stack.plugins.module_utils import private_files
from ansible_collections.dashtam.stack.plugins.module_utils.local_action import LocalAction


class ActionModule(LocalAction):
    """Return the code as `process_exit_code`, and fail unless it is 0."""

    arguments: ClassVar[Any] = {"code": {"type": "int", "required": True}, "file": {"type": "path"}}

    def act(self, args: dict[str, Any]) -> dict[str, Any]:
        code = args["code"]
        if args["file"]:
            private_files.make_parents(Path(args["file"]).parent)
            private_files.write(Path(args["file"]), f"{code}\n")
        return {
            "failed": code != 0,
            "msg": f"The exit code is {code}.",
            "process_exit_code": code,
        }
