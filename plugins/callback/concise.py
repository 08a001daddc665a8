"""One screen that lives: what is going on, what was done, and a refusal said once.

In a terminal the lines at the bottom show what is under way, with its seconds: objects that tasks tell of
(module_utils/progress.py), or the title of a task that lasts. Without a terminal, in CI and where TERM is
dumb, a line tells of it after 15 s of silence. What stays is a line for each object that was made and each
task that changed something, the slowest step and the total time.

The default callback prints a failed task's message with its origin in our source, and again inside the
result. Whoever mistyped a port needs the message. Anything but a plain message (a module's stderr, a failed
loop) is left to the default callback, and so is everything at `-v`, where all tasks are shown. Of a failure
that a `rescue` turns into a message of its own, the reason is printed, and the end of a program's output.

A host is called what its variable `concise_label` says, if it has one: an inventory's host stands for every
instance of an environment.

What the action `say` says is printed as it is.

A play with the variable `concise_answer_only: true` prints what its tasks say; no titles, no results and no
recap: its answer can be read by another program. A failure goes to standard error.
"""

from __future__ import annotations

from typing import Any

from ansible import constants as C
from ansible.executor.stats import AggregateStats
from ansible.executor.task_result import CallbackTaskResult
from ansible.inventory.host import Host
from ansible.playbook.included_file import IncludedFile
from ansible.playbook.play import Play
from ansible.playbook.task import Task
from ansible.plugins.callback.default import CallbackModule as Default
from ansible_collections.dashtam.stack.plugins.module_utils import failures, host_variables, preloaded, recap
from ansible_collections.dashtam.stack.plugins.module_utils.live_screen import Screen, lasted

DOCUMENTATION = """
name: concise
type: stdout
short_description: What is under way and what was done, a failure's message said once
extends_documentation_fragment:
  - default_callback
  - result_format_callback
requirements:
  - set as stdout in configuration
"""

SAY = "dashtam.stack.say"
# It reads what a person types; a line that is drawn again and again would run into that.
ASKS = {"ansible.builtin.pause", "pause", "dashtam.stack.confirm"}


class CallbackModule(Default):
    """Print what a person needs and nothing around it."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "concise"

    _answer_only = False
    _screen: Screen | None = None

    def __init__(self) -> None:
        super().__init__()
        preloaded.for_forks()

    @property
    def _verbose(self) -> bool:
        return bool(self._display.verbosity)

    def set_options(self, *arguments: Any, **options: Any) -> None:
        """Show all tasks at -v, each title before its task, whatever ansible.cfg hides."""
        super().set_options(*arguments, **options)
        self._failures_to_stderr = bool(self.get_option("display_failed_stderr"))
        # Of what is ok, the default callback is given only what is to be shown.
        self.set_option("display_ok_hosts", True)
        self.set_option("display_skipped_hosts", self._verbose)

    def v2_playbook_on_play_start(self, play: Play) -> None:
        """Begin the screen, unless only the answer is wanted; print the title at -v alone."""
        self._answer_only = bool(play.get_vars().get("concise_answer_only")) and not self._verbose
        self._play = play
        # A program that reads the answer must not take a failure for it.
        self.set_option("display_failed_stderr", self._answer_only or self._failures_to_stderr)
        if not self._answer_only and self._screen is None:
            self._screen = Screen(self._display, live=not self._verbose)
        if self._verbose:
            super().v2_playbook_on_play_start(play)

    def v2_playbook_on_no_hosts_remaining(self) -> None:
        """Leave it to the recap, which names the hosts that failed."""
        if self._verbose:
            super().v2_playbook_on_no_hosts_remaining()

    def v2_runner_on_start(self, host: Host, task: Task) -> None:
        """Show what a task is about while it lasts."""
        super().v2_runner_on_start(host, task)
        if self._screen and not self._answer_only and task.action not in ASKS | {SAY}:
            self._screen.begin(f"{task._uuid} {host.name}", self._title(task))

    def _ended(self, result: CallbackTaskResult) -> float:
        key = f"{result.task._uuid} {result.host.name}"
        return self._screen.end(key) if self._screen else 0.0

    def v2_runner_on_ok(self, result: CallbackTaskResult) -> None:
        """Print what is said, and what changed unless only the answer is wanted."""
        seconds = self._ended(result)
        if result.task.action == SAY:
            if not result.task.loop:
                self._say(result)
        elif self._run_is_verbose(result):
            super().v2_runner_on_ok(result)
        elif not self._answer_only:
            self._handle_warnings_and_exception(result)
            self._changed(result, lasted(seconds))

    def v2_runner_item_on_ok(self, result: CallbackTaskResult) -> None:
        """Print what is said."""
        if result.task.action == SAY:
            self._say(result)
        elif self._run_is_verbose(result):
            super().v2_runner_item_on_ok(result)

    def v2_runner_item_on_failed(self, result: CallbackTaskResult) -> None:
        """Print what failed, briefly where a rescue says what follows from it."""
        if failures.is_rescued(result.task) and not self._verbose:
            self._say_reason(result)
        else:
            super().v2_runner_item_on_failed(result)

    def v2_runner_on_skipped(self, result: CallbackTaskResult) -> None:
        """Print it at -v alone."""
        self._ended(result)
        super().v2_runner_on_skipped(result)

    def v2_runner_on_unreachable(self, result: CallbackTaskResult) -> None:
        """Print it as the default callback does."""
        self._ended(result)
        super().v2_runner_on_unreachable(result)

    def _changed(self, result: CallbackTaskResult, seconds: str) -> None:
        # Objects that were told of say it themselves.
        if result.result.get("changed") and not (self._screen and self._screen.told):
            line = f"changed: [{self.host_label(result)}] {self._title(result.task)}{seconds}"
            self._display.display(line, color=C.COLOR_CHANGED)

    def _title(self, task: Task) -> str:
        # With its variables in place, as they were when the task began, and without its role.
        return str(self._last_task_name or task.get_name()).rpartition(" : ")[2].strip()

    def _print_task_banner(self, task: Task) -> None:
        """Print a title at -v; otherwise above what the default callback says of a failure, or a diff."""
        if self._verbose:
            super()._print_task_banner(task)
        else:
            self._last_task_banner = task._uuid
            self._display.display(f"\n{self._title(task)}:", stderr=self.get_option("display_failed_stderr"))

    def _say(self, result: CallbackTaskResult) -> None:
        self._handle_warnings_and_exception(result)
        self._display.display(result.result.get("msg", ""))

    def v2_playbook_on_include(self, included_file: IncludedFile) -> None:
        """Print what is included at -v alone: what it then changes is printed anyway."""
        if self._verbose:
            super().v2_playbook_on_include(included_file)

    def v2_playbook_on_stats(self, stats: AggregateStats) -> None:
        """Print a line for each host, the total time and the slowest step, if not the answer alone."""
        if self._screen:
            self._screen.close()
        if self._answer_only:
            return
        named = AggregateStats()
        labels = {host: self._label(host) for host in stats.processed}
        for counted in ("processed", "failures", "ok", "dark", "changed", "skipped", "rescued", "ignored"):
            counts = getattr(stats, counted)
            setattr(named, counted, {labels[host]: count for host, count in counts.items()})
        named.custom = stats.custom
        if self._verbose:
            super().v2_playbook_on_stats(named)
        else:
            for line, failed in recap.lines(named):
                self._display.display(line, color=C.COLOR_ERROR if failed else None)
        if self._screen:
            self._display.display(self._screen.summary())

    def host_label(self, result: CallbackTaskResult) -> str:
        """Return the host's `concise_label`, if it has one."""
        host = str(result.host.get_name())
        return str(super().host_label(result)).replace(host, self._label(host), 1)

    def _label(self, host: str) -> str:
        return host_variables.label(self._play, host)

    def v2_runner_retry(self, result: CallbackTaskResult) -> None:
        """Print it at -v alone: the task's title and its seconds are on the screen."""
        if self._verbose:
            super().v2_runner_retry(result)

    def v2_runner_on_failed(self, result: CallbackTaskResult, ignore_errors: bool = False) -> None:
        """Say a refusal once; hand everything else to the default callback."""
        self._ended(result)
        spoken = failures.is_spoken(result.task)
        message = result.result.get("msg")
        if "process_exit_code" in result.result and not self._verbose:
            return  # the tasks before it have shown what it is about
        if ignore_errors and self._answer_only:
            return
        if failures.is_rescued(result.task) and not ignore_errors and not self._verbose:
            if not result.task.loop:
                self._say_reason(result)
            return
        if not spoken or ignore_errors or self._verbose or not isinstance(message, str) or result.task.loop:
            super().v2_runner_on_failed(result, ignore_errors)
            return
        self._display_failure(f"{self.host_label(result)}: {message.strip()}")

    def _say_reason(self, result: CallbackTaskResult) -> None:
        # What is censored is in the rescue's own message, without the secrets.
        if "censored" not in result.result:
            said = str(result.result.get("msg")).strip()
            if not failures.is_spoken(result.task):
                said = f"{self._title(result.task)}: {failures.reason(result.result)}"
            self._display_failure(f"{self.host_label(result)}: {said}")

    def _display_failure(self, text: str) -> None:
        self._display.display(
            f"\n{text}", color=C.COLOR_ERROR, stderr=self.get_option("display_failed_stderr")
        )
