"""Template files, rendered by an action in its own process."""

from __future__ import annotations

from pathlib import Path

from ansible.plugins.action import ActionBase
from ansible.template import trust_as_template


def rendered(action: ActionBase, name: str) -> str:
    """Return a template file's text with the task's variables in it.

    The lookup ``ansible.builtin.template`` first copies every variable of the host, which takes longer than
    rendering does.

    :param action: the action that runs, which knows the task's variables and where it looks for templates.
    :param name: a path, absolute or as the module ``ansible.builtin.template`` takes it.
    :raises AnsibleError: there is no such file, it is not a template, or it uses an undefined variable.
    """
    path = Path(action._find_needle("templates", name))
    text = trust_as_template(path.read_text(encoding="utf-8"))
    return str(action._templar.template(text, escape_backslashes=False))
