"""Remove files on this host, in the controller's process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

DOCUMENTATION = """
name: files_absent
short_description: Remove files of this run's own making
description:
  - As P(ansible.builtin.file#module) with C(state=absent), for files alone, in a hundredth of the time.
options:
  paths:
    description: The files; one that is missing is no error, a folder is.
    type: list
    elements: path
    required: true
"""

RETURN = """
removed:
  description: Those that were there.
  type: list
  elements: str
"""


class ActionModule(ActionBase):
    """Remove each."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module-like result, see RETURN."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(
            argument_spec={"paths": {"type": "list", "elements": "path", "required": True}}
        )
        removed = [path for path in arguments["paths"] if Path(path).exists()]
        if not self._task.check_mode:
            for path in removed:
                Path(path).unlink()
        return result | {"changed": bool(removed), "removed": removed}
