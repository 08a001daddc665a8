"""Remove files on this host, in the controller's process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.dashtam.stack.plugins.module_utils.local_action import LocalAction

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


class ActionModule(LocalAction):
    """Remove each."""

    def act(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the module-like result, see RETURN."""
        removed = [path for path in arguments["paths"] if Path(path).exists()]
        if not self.dry_run:
            for path in removed:
                Path(path).unlink()
        return {"changed": bool(removed), "removed": removed}
