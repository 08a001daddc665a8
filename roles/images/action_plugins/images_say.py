"""Says in one line what takes a while from here on, whatever the callback hides."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

DOCUMENTATION = r"""
module: images_say
short_description: Prints one line
options:
  text: {description: The line., type: str, required: true}
"""


class ActionModule(ActionBase):
    """See DOCUMENTATION."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Print the line."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, options = self.validate_argument_spec(argument_spec={"text": {"type": "str", "required": True}})
        Display().display(options["text"])
        result["changed"] = False
        return result
