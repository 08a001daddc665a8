"""Keep each run in the checkout's history: who, what, how long, what changed, whether it passed.

The history is a file beside the playbooks' folder (module_utils/run_history.py). A run that only looks, by
the variable `history_looks_only: true` of one of its plays, is not kept, nor is one with --check, which
changes nothing, nor one that was interrupted, nor one without a host of an inventory. A history that cannot
be written is a warning: no run fails or waits for it.

The tests that a run came to are the `counts` of the action `say`.

playbooks/callback_plugins has a link to this file: Ansible loads what is beside a playbook whatever
`callbacks_enabled` says.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from ansible import context
from ansible.plugins.callback import CallbackBase
from ansible_collections.dashtam.stack.plugins.module_utils import host_variables, recap

if TYPE_CHECKING:
    from ansible.executor.stats import AggregateStats
    from ansible.executor.task_result import CallbackTaskResult
    from ansible.playbook import Playbook
    from ansible.playbook.play import Play

DOCUMENTATION = """
name: history
type: aggregate
short_description: Keep each run in a history
description:
  - Adds a line to C(reports/history.sqlite) beside the playbooks' folder when a run ends.
  - Runs of plays with the variable C(history_looks_only), runs with C(--check), and runs of playbooks in
    another folder, such as molecule's, are left out.
"""

WAIT = "dashtam.stack.container_wait"


class CallbackModule(CallbackBase):
    """Note what a run does, and keep it at the end."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "history"
    CALLBACK_NEEDS_ENABLED = False

    def v2_playbook_on_start(self, playbook: Playbook) -> None:
        """Begin a run."""
        self._started, self._begun = time.time(), time.monotonic()
        folder = Path(playbook._basedir).resolve()
        self._checkout = folder.parent
        self._name = Path(playbook._file_name).stem
        self._kept = folder.name == "playbooks" and not context.CLIARGS.get("check")
        self._counts: dict[str, int] = {}
        self._ready: dict[str, float] = {}

    def v2_playbook_on_play_start(self, play: Play) -> None:
        """Note the play, whose variables have the hosts' labels."""
        self._play = play
        if play.get_vars().get("history_looks_only"):
            self._kept = False

    def v2_runner_on_ok(self, result: CallbackTaskResult) -> None:
        """Note how long containers took to become ready, and what tests came to."""
        if result.task.action == WAIT:
            took = time.monotonic() - self._begun
            seconds = result.result.get("seconds") or {}
            # Those that ran before this run began took as long as another run has said.
            self._ready |= {name: round(each, 1) for name, each in seconds.items() if each < took}
        elif counts := result.result.get("counts"):
            self._counts = {name: int(count) for name, count in counts.items()}

    def v2_playbook_on_stats(self, stats: AggregateStats) -> None:
        """Keep the run."""
        hosts = [host for host in recap.hosts(stats) if host_variables.is_listed(self._play, host)]
        if not self._kept or not hosts:
            return
        # Not before they are needed: SQLite is part of no other run.
        import sqlite3

        from ansible_collections.dashtam.stack.plugins.module_utils import run_history

        failed = any(stats.failures.values()) or any(stats.dark.values())
        run = run_history.Run(
            started=self._started,
            seconds=round(time.monotonic() - self._begun, 1),
            user=run_history.user(),
            playbook=self._name,
            environments=[host_variables.label(self._play, host) for host in hosts],
            changed=sum(stats.changed.values()),
            result=run_history.FAILED if failed else run_history.PASSED,
            tests=self._counts,
            ready=self._ready,
        )
        try:
            run_history.record(self._checkout / run_history.PLACE, run)
        except (OSError, sqlite3.Error) as error:
            self._display.warning(f"This run is not in the history: {run_history.PLACE}: {error}")
