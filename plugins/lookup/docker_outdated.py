"""Which servers run code that was edited after they had started."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from ansible.plugins.lookup import LookupBase
from ansible_collections.dashtam.stack.plugins.module_utils import engine
from docker.errors import NotFound

DOCUMENTATION = """
name: docker_outdated
short_description: Running containers that started before a file below a folder was last changed
description:
  - For servers that read their code from a mounted folder once, when they start. It only reads.
  - A file counts from the moment its content, name or mode was last changed (its ctime, which a copy or a
    checkout sets, too). Bytecode does not count.
options:
  _terms:
    description: Names of containers. One that is missing or stopped is not outdated.
    type: list
    elements: str
  source:
    description: The folder on this host.
    type: path
    required: true
"""

RETURN = """
_raw:
  description: Those of the names that are outdated.
  type: list
  elements: str
"""


def changed_at(source: Path) -> float:
    """Return when a file below the folder was last changed, in seconds since 1970; 0 if it is empty."""
    newest = 0.0
    for folder, folders, names in os.walk(source):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in names:
            # An editor may have removed its own file since the list was made; os.walk passes over folders.
            with suppress(OSError):
                about = Path(folder, name).stat()
                newest = max(newest, about.st_ctime)
    return newest


class LookupModule(LookupBase):
    """Compare each container's start with the newest file."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """Return names, see RETURN; raises EngineError where the engine does not answer."""
        self.set_options(var_options=variables, direct=kwargs)
        newest = changed_at(Path(self.get_option("source")))
        outdated = []
        with engine.client() as client:
            for name in terms:
                try:
                    state = client.inspect_container(name)["State"]
                except NotFound:
                    continue
                if state["Running"] and datetime.fromisoformat(state["StartedAt"]).timestamp() < newest:
                    outdated.append(name)
        return outdated
