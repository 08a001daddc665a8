"""Tell the person at the terminal something, as plain lines.

    - name: Say what happens next
      say:
        text: "Building the application image (about two minutes) ..."

The text is in the result, as `msg`; the callback `concise` prints it as it is, also under --check. Other
callbacks show it as they show the message of `ansible.builtin.debug`, so that one which writes JSON writes
nothing else. `text` is a string or a list of lines; `template` is the path of a template instead. Never hand
it a secret. `counts`, a dict of names and numbers, is for callbacks that keep what the text is about.
"""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.dashtam.stack.plugins.module_utils.template_files import rendered


class ActionModule(ActionBase):
    """Return the text as `msg`, for the callback to print."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(
            {"text": {"type": "raw"}, "template": {"type": "str"}, "counts": {"type": "dict", "default": {}}},
            mutually_exclusive=[["text", "template"]],
            required_one_of=[["text", "template"]],
        )
        text = rendered(self, args["template"]) if args["template"] else args["text"]
        lines = text if isinstance(text, list) else [text]
        result["msg"] = "\n".join(str(line) for line in lines).rstrip("\n")
        result["changed"] = False
        if args["counts"]:
            result["counts"] = args["counts"]
        # As `debug` does: the default callback shows the message whatever the verbosity.
        result["_ansible_verbose_always"] = True
        return result
