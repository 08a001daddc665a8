"""Let ansible-playbook exit with the code that a play ended with.

Ansible knows only its own codes: a play that fails comes out as 2, whatever pytest said. The action of the
same name fails the play and names the code; this callback lets ansible-playbook exit with it, of several
hosts with the highest. Where anything else failed, too, Ansible's own code remains.

playbooks/callback_plugins has a link to this file: Ansible loads what is beside a playbook whatever
`callbacks_enabled` says.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn

from ansible.errors import ExitCode
from ansible.plugins.callback import CallbackBase

if TYPE_CHECKING:
    from ansible.executor.stats import AggregateStats
    from ansible.executor.task_result import CallbackTaskResult

DOCUMENTATION = """
name: exit_code
type: aggregate
short_description: Exit with the code that a play ended with
description:
  - Replaces Ansible's exit code for failed hosts with the one that the action C(exit_code) was given.
  - Shows each line as soon as it is written, also into a pipe.
"""


class CallbackModule(CallbackBase):
    """Collect the codes while the plays run, and replace Ansible's own at the end."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "exit_code"
    CALLBACK_NEEDS_ENABLED = False

    def __init__(self) -> None:
        super().__init__()
        self._codes: list[int] = []
        # Ansible flushes at its end only: a CI log would show nothing for minutes.
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(line_buffering=True)

    def v2_runner_on_failed(self, result: CallbackTaskResult, ignore_errors: bool = False) -> None:
        """Note the code that a play ends with."""
        if not ignore_errors and "process_exit_code" in result.result:
            self._codes.append(int(result.result["process_exit_code"]))

    def v2_playbook_on_stats(self, stats: AggregateStats) -> None:
        """Let the process exit with the code, unless something else failed."""
        if not self._codes or sum(stats.failures.values()) != len(self._codes) or any(stats.dark.values()):
            return
        code, leave = max(self._codes), sys.exit

        # Raising SystemExit here would keep the other callbacks from seeing the end of the run. Ansible calls
        # this function last of all; if it no longer did, its own code would remain.
        def leave_with_code(status: str | int | None = None) -> NoReturn:
            leave(code if status == ExitCode.HOST_FAILED else status)

        sys.exit = leave_with_code
