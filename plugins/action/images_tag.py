"""Give images that are present further names."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.dashtam.stack.plugins.module_utils import engine

DOCUMENTATION = """
name: images_tag
short_description: Give images that are present further names
description:
  - Through the engine's API, in the controller's own process. Nothing is built, pulled or removed.
options:
  images:
    description: New reference to the one that is present.
    type: dict
    required: true
"""


class ActionModule(ActionBase):
    """Name each."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module-like result."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(
            argument_spec={"images": {"type": "dict", "required": True}}
        )
        result["changed"] = True
        if self._task.check_mode:
            return result
        with engine.client() as api:
            for reference, present in arguments["images"].items():
                repository, _, tag = reference.rpartition(":")
                api.tag(present, repository, tag)
        return result
