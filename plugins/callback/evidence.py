"""Keep evidence of a failure: the containers' logs, health and settings, and the versions of what runs them.

In CI, and wherever the environment has BUNDLE=1. Secrets are masked (module_utils/evidence.py).

playbooks/callback_plugins has a link to this file: Ansible loads what is beside a playbook whatever
`callbacks_enabled` says.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ansible.plugins.callback import CallbackBase
from ansible_collections.dashtam.stack.plugins.module_utils import host_variables

if TYPE_CHECKING:
    from ansible.executor.stats import AggregateStats
    from ansible.executor.task_result import CallbackTaskResult
    from ansible.playbook import Playbook
    from ansible.playbook.play import Play

DOCUMENTATION = """
name: evidence
type: aggregate
short_description: Keep evidence of a failure
description:
  - Writes C(reports/evidence) beside the playbooks' folder if a play failed, in CI or with BUNDLE=1.
  - A host's containers are those that carry its C(container_labels).
"""


def is_wanted() -> bool:
    """Say whether whoever started the run wants evidence of a failure."""
    return any(os.environ.get(name, "").lower() not in ("", "0", "false") for name in ("BUNDLE", "CI"))


class CallbackModule(CallbackBase):
    """Note failures while the plays run, and gather evidence at the end."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "evidence"
    CALLBACK_NEEDS_ENABLED = False

    def __init__(self) -> None:
        super().__init__()
        self.disabled = not is_wanted()
        self._failures: list[str] = []
        self._labels: list[dict[str, str]] = []

    def v2_playbook_on_start(self, playbook: Playbook) -> None:
        """Note where the reports are."""
        self._checkout = Path(playbook._basedir).resolve().parent

    def v2_playbook_on_play_start(self, play: Play) -> None:
        """Note the play, whose variables name the containers."""
        self._play = play

    def v2_runner_on_failed(self, result: CallbackTaskResult, ignore_errors: bool = False) -> None:
        """Note what failed, and whose containers may tell why."""
        if ignore_errors:
            return
        host = result.host.get_name()
        message = "censored" if "censored" in result.result else result.result.get("msg", "no message")
        self._failures.append(f"{host}: {result.task.get_name()}: {message}")
        if (labels := self._labels_of(host)) and labels not in self._labels:
            self._labels.append(labels)

    def _labels_of(self, host: str) -> dict[str, str]:
        found = host_variables.value(self._play, host, "container_labels", {})
        return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}

    def v2_playbook_on_stats(self, stats: AggregateStats) -> None:
        """Write the folder if a host failed in the end; a failure that was rescued is none."""
        if not any(stats.failures.values()):
            return
        # Not before it is needed: it imports the engine's SDK.
        from ansible_collections.dashtam.stack.plugins.module_utils import evidence

        try:
            folder = evidence.write(self._checkout, self._failures, self._labels)
        except OSError as error:
            self._display.warning(f"No evidence was kept: {error}")
            return
        self._display.display(f"Evidence: {folder.relative_to(self._checkout)}/", stderr=True)
