"""What callbacks ask of a host's variables, with the templates in them resolved."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleError
from ansible.playbook.play import Play
from ansible.template import Templar


def value(play: Play, host: str, name: str, default: Any) -> Any:
    """Return a variable of a host as it is at this moment, the default where there is none or it fails.

    :param play: the play that runs, or ran last.
    """
    # Resolved for each question: a person's own values become facts while the play runs.
    manager = play.get_variable_manager()
    variables = manager.get_vars(play=play, host=manager._inventory.get_host(host))
    if name not in variables:
        return default
    try:
        return Templar(loader=manager._loader, variables=variables).template(variables[name])
    except AnsibleError:
        return default


def is_listed(play: Play, host: str) -> bool:
    """Say whether an inventory lists the host; Ansible makes a ``localhost`` of its own where none does."""
    known = play.get_variable_manager()._inventory.get_host(host)
    return known is not None and not known.implicit


def label(play: Play, host: str) -> str:
    """Return what a host is called: its variable ``concise_label``, if it has one."""
    return str(value(play, host, "concise_label", host))
