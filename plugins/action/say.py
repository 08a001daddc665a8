"""Tell the person at the terminal something, as plain lines.

    - name: Say what happens next
      say:
        text: "Building the application image (about two minutes) ..."

`ansible.builtin.debug` prints its message as an escaped value inside a result; this prints the text itself,
also under --check, and leaves a result with nothing to show. `text` is a string or a list of lines;
`template` is the path of a template instead. Never hand it a secret.
"""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.dashtam.stack.plugins.module_utils.template_files import rendered

display = Display()


class ActionModule(ActionBase):
    """Print `text` through Ansible's own display, which the worker process proxies to the terminal's."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(
            {"text": {"type": "raw"}, "template": {"type": "str"}},
            mutually_exclusive=[["text", "template"]],
            required_one_of=[["text", "template"]],
        )
        text = rendered(self, args["template"]) if args["template"] else args["text"]
        lines = text if isinstance(text, list) else [text]
        display.display("\n".join(str(line) for line in lines).rstrip("\n"))
        result["changed"] = False
        return result
