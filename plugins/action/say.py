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

from typing import Any, ClassVar

from ansible_collections.dashtam.stack.plugins.module_utils.local_action import LocalAction
from ansible_collections.dashtam.stack.plugins.module_utils.template_files import rendered


class ActionModule(LocalAction):
    """Return the text as `msg`, for the callback to print."""

    arguments: ClassVar[Any] = {
        "text": {"type": "raw"},
        "template": {"type": "str"},
        "counts": {"type": "dict", "default": {}},
    }
    rules: ClassVar[Any] = {
        "mutually_exclusive": [["text", "template"]],
        "required_one_of": [["text", "template"]],
    }

    def act(self, args: dict[str, Any]) -> dict[str, Any]:
        text = rendered(self, args["template"]) if args["template"] else args["text"]
        lines = text if isinstance(text, list) else [text]
        message = "\n".join(str(line) for line in lines).rstrip("\n")
        # As `debug` does: the default callback shows the message whatever the verbosity.
        counts = {"counts": args["counts"]} if args["counts"] else {}
        return {"msg": message, "_ansible_verbose_always": True} | counts
