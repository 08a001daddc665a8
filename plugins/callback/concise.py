"""Ansible's default output, but a refusal is said once.

The default callback prints a failed task's message with its origin in our source, and again inside the
result. Whoever mistyped a port needs the message. Anything but a plain message (a module's stderr, a failed
loop) and everything at `-v` is left to the default callback.

A host is called what its variable `concise_label` says, if it has one: an inventory's host stands for every
instance of an environment.

What the action `say` says is printed as it is.

A play with the variable `concise_answer_only: true` prints what its tasks say; no titles, no results and no
recap: its answer can be read by another program. A failure goes to standard error.
"""

from __future__ import annotations

import gc
import importlib
import pkgutil

from ansible import constants as C
from ansible.errors import AnsibleError
from ansible.executor.stats import AggregateStats
from ansible.executor.task_result import CallbackTaskResult
from ansible.playbook.included_file import IncludedFile
from ansible.playbook.play import Play
from ansible.playbook.task import Task
from ansible.plugins.callback.default import CallbackModule as Default
from ansible.template import Templar, trust_as_template
from ansible_collections.dashtam.stack.plugins import action, filter, lookup  # noqa: A004 - packages of plugins

DOCUMENTATION = """
name: concise
type: stdout
short_description: The default output, a failure's message said once
extends_documentation_fragment:
  - default_callback
  - result_format_callback
requirements:
  - set as stdout in configuration
"""

# Actions whose message was written for the person at the terminal.
SPOKEN = {
    "ansible.builtin.assert",
    "ansible.builtin.fail",
    "ansible.builtin.validate_argument_spec",
}

SAY = "dashtam.stack.say"

# Ansible's own plugins that nearly every run uses.
FOR_FORKS = tuple(
    f"ansible.plugins.{name}" for name in ("filter.core", "test.core", "lookup.template", "lookup.pipe")
)


def _is_rescued(task: Task) -> bool:
    block = task._parent
    while block and not getattr(block, "rescue", None):
        block = block._parent
    return bool(block)


class CallbackModule(Default):
    """Print the message of a refusal and nothing around it."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "concise"

    _answer_only = False
    _named = ""

    def __init__(self) -> None:
        super().__init__()
        # Each task runs in a fork, which inherits what its parent has imported. Otherwise each would import
        # the plugins that it uses, and with them the engine's SDK, which costs more than what they do.
        for package in (action, filter, lookup):
            for plugin in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
                importlib.import_module(plugin.name)
        for name in FOR_FORKS:
            importlib.import_module(name)
        # The first template makes Jinja's lexer, which the forks then share.
        Templar(loader=None, variables={"ready": True}).template(trust_as_template("{{ ready | bool }}"))
        # What is here by now stays: collecting it again and again takes a tenth of a run, and in every fork
        # it copies the pages that are shared with the parent.
        gc.freeze()
        gc.set_threshold(100_000)

    def v2_playbook_on_play_start(self, play: Play) -> None:
        """Print the title, unless only the answer is wanted."""
        self._answer_only = bool(play.get_vars().get("concise_answer_only")) and not self._display.verbosity
        self._play = play
        if not self._answer_only:
            super().v2_playbook_on_play_start(play)

    def v2_runner_on_ok(self, result: CallbackTaskResult) -> None:
        """Print what is said, and what changed unless only the answer is wanted."""
        if result.task.action == SAY:
            if not result.task.loop:
                self._say(result)
        elif not self._answer_only:
            super().v2_runner_on_ok(result)

    def v2_runner_item_on_ok(self, result: CallbackTaskResult) -> None:
        """Print what is said, and what changed unless only the answer is wanted."""
        if result.task.action == SAY:
            self._say(result)
        elif "censored" in result.result and not self._display.verbosity:
            self._name_once(result)
        elif not self._answer_only:
            super().v2_runner_item_on_ok(result)

    def v2_runner_item_on_failed(self, result: CallbackTaskResult) -> None:
        """Print what failed, unless a rescue says it without the secrets."""
        if "censored" not in result.result or not _is_rescued(result.task) or self._display.verbosity:
            super().v2_runner_item_on_failed(result)

    def _name_once(self, result: CallbackTaskResult) -> None:
        # A censored item has neither a name nor a result to show, so one line is for all of them.
        if self._answer_only or not result.result.get("changed") or self._named == result.task._uuid:
            return
        self._named = result.task._uuid
        if self._last_task_banner != result.task._uuid:
            self._print_task_banner(result.task)
        self._display.display(f"changed: [{self.host_label(result)}]", color=C.COLOR_CHANGED)

    def _say(self, result: CallbackTaskResult) -> None:
        self._handle_warnings_and_exception(result)
        self._display.display(result.result.get("msg", ""))

    def v2_playbook_on_include(self, included_file: IncludedFile) -> None:
        """Print what is included at -v alone: what it then changes is printed anyway."""
        if self._display.verbosity:
            super().v2_playbook_on_include(included_file)

    def v2_playbook_on_stats(self, stats: AggregateStats) -> None:
        """Print the recap, unless only the answer is wanted."""
        if self._answer_only:
            return
        named = AggregateStats()
        labels = {host: self._label(host) for host in stats.processed}
        for counted in ("processed", "failures", "ok", "dark", "changed", "skipped", "rescued", "ignored"):
            counts = getattr(stats, counted)
            setattr(named, counted, {labels[host]: count for host, count in counts.items()})
        named.custom = stats.custom
        super().v2_playbook_on_stats(named)

    def host_label(self, result: CallbackTaskResult) -> str:
        """Return the host's `concise_label`, if it has one."""
        host = str(result.host.get_name())
        return str(super().host_label(result)).replace(host, self._label(host), 1)

    def _label(self, host: str) -> str:
        # Resolved for each line: a person's own values become facts while the play runs.
        manager = self._play.get_variable_manager()
        known = manager._inventory.get_host(host)
        variables = manager.get_vars(play=self._play, host=known)
        if "concise_label" not in variables:
            return host
        try:
            return str(
                Templar(loader=manager._loader, variables=variables).template(variables["concise_label"])
            )
        except AnsibleError:
            return host

    def v2_runner_on_failed(self, result: CallbackTaskResult, ignore_errors: bool = False) -> None:
        """Say a refusal once; hand everything else to the default callback."""
        spoken = result.task.action in SPOKEN or result.task.action.startswith("dashtam.stack.")
        message = result.result.get("msg")
        if "process_exit_code" in result.result and not self._display.verbosity:
            return  # the tasks before it have shown what it is about
        if "censored" in result.result and _is_rescued(result.task) and not self._display.verbosity:
            return  # what went wrong is in the rescue's own message, without the secrets
        if (
            not spoken
            or ignore_errors
            or self._display.verbosity
            or not isinstance(message, str)
            or result.task.loop
        ):
            super().v2_runner_on_failed(result, ignore_errors)
            return
        lines = f"\n{self.host_label(result)}: {message.strip()}"
        # A program that reads the answer must not take this for it.
        stderr = self._answer_only or self.get_option("display_failed_stderr")
        self._display.display(lines, color=C.COLOR_ERROR, stderr=stderr)
