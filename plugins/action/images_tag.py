"""Give images that are present further names."""

from __future__ import annotations

from typing import Any

from ansible_collections.dashtam.stack.plugins.module_utils import engine
from ansible_collections.dashtam.stack.plugins.module_utils.local_action import LocalAction

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


class ActionModule(LocalAction):
    """Name each."""

    def act(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the module-like result."""
        if not self.dry_run:
            with engine.client() as api:
                for reference, present in arguments["images"].items():
                    repository, _, tag = reference.rpartition(":")
                    api.tag(present, repository, tag)
        return {"changed": True}
