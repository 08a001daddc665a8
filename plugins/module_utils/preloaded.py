"""What tasks need, imported once in ansible-playbook itself.

Each task runs in a fork, which inherits what its parent has imported. Otherwise each would import the plugins
that it uses, and with them the engine's SDK, which costs more than what they do.
"""

from __future__ import annotations

import gc
import importlib
import pkgutil

from ansible.template import Templar, trust_as_template
from ansible_collections.dashtam.stack.plugins import action, filter, lookup  # noqa: A004 - packages of plugins

# Ansible's own plugins that nearly every run uses.
FOR_FORKS = tuple(
    f"ansible.plugins.{name}" for name in ("filter.core", "test.core", "lookup.template", "lookup.pipe")
)


def for_forks() -> None:
    """Import them, and keep the garbage collector from the pages that forks share with this process."""
    for package in (action, filter, lookup):
        for plugin in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(plugin.name)
    for name in FOR_FORKS:
        importlib.import_module(name)
    # The first template makes Jinja's lexer, which the forks then share.
    Templar(loader=None, variables={"ready": True}).template(trust_as_template("{{ ready | bool }}"))
    # What is here by now stays: collecting it again and again takes a tenth of a run, and in every fork it
    # copies the pages that are shared with the parent.
    gc.freeze()
    gc.set_threshold(100_000)
