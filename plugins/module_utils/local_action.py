"""An action of the controller's own process: its arguments are checked, and what it refuses is one line."""

from __future__ import annotations

import sys
from typing import Any, ClassVar

import yaml
from ansible.plugins.action import ActionBase

Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Problem(Exception):
    """What is wrong, where, and what to do next, in one line that shows no secret."""


class LocalAction(ActionBase):
    """An action that needs no connection and no module, see :meth:`act`."""

    _requires_connection = False
    # What it takes, where its module's DOCUMENTATION does not say it.
    arguments: ClassVar[Any] = {}
    # The further arguments of `validate_argument_spec`, such as `required_if`.
    rules: ClassVar[Any] = {}

    @property
    def dry_run(self) -> bool:
        """Whether this is a run under --check."""
        return bool(self._task.check_mode)

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what Ansible expects of an action."""
        result: dict[str, Any] = super().run(tmp, task_vars) | {"changed": False}
        self.task_vars = task_vars or {}
        _, arguments = self.validate_argument_spec(self.arguments or self._documented(), **self.rules)
        try:
            return result | self.act(arguments)
        except Problem as problem:
            return result | {"failed": True, "msg": str(problem)}

    def _documented(self) -> dict[str, Any]:
        text = sys.modules[type(self).__module__].DOCUMENTATION
        options: dict[str, Any] = yaml.load(text, Loader=Loader)["options"]  # noqa: S506 - Loader is a safe one
        return options

    def act(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Do it, and return the result; ``changed`` is false unless it says so.

        :param arguments: validated.
        :raises Problem: the task fails with this message.
        """
        raise NotImplementedError
