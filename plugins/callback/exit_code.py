"""Let ansible-playbook exit with the code of a process that a play ran.

Ansible knows only its own codes: a test run that fails under `command` comes out as 2, whatever pytest said.
A play records the code and goes on, so that reports are still collected:

    - name: Record pytest's exit code
      ansible.builtin.set_stats:
        data:
          process_exit_code: "{{ tests.rc }}"
        aggregate: false
        per_host: true

After the recap ansible-playbook then exits with that code, of several hosts with the highest. A failed or
unreachable host keeps Ansible's own code: the process may not even have run. Put this plugin last in
`callbacks_enabled`: those behind it would not see the end of the run.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ansible.plugins.callback import CallbackBase

if TYPE_CHECKING:
    from ansible.executor.stats import AggregateStats

DOCUMENTATION = """
name: exit_code
type: aggregate
short_description: Exit with the code that a play recorded as process_exit_code
description:
  - Reads the custom statistic C(process_exit_code) once the recap has been printed.
  - Shows each line as soon as it is written, also into a pipe.
"""

STATISTIC = "process_exit_code"


class CallbackModule(CallbackBase):
    """Leave with the recorded exit code, through Ansible's own clean-up."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "exit_code"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        # Ansible flushes at its end only: a CI log would show nothing for minutes.
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(line_buffering=True)

    def v2_playbook_on_stats(self, stats: AggregateStats) -> None:
        code = max((int(said.get(STATISTIC, 0)) for said in stats.custom.values()), default=0)
        if not code or any(stats.failures.values()) or any(stats.dark.values()):
            return
        # No Exception, so neither the callback dispatcher nor the CLI makes an error of it; `finally` blocks
        # run.
        raise SystemExit(code)
