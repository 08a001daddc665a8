"""Ask something inside a running container, on the controller."""

from __future__ import annotations

from typing import Any

from ansible.plugins.lookup import LookupBase
from ansible_collections.dashtam.stack.plugins.module_utils import engine, readiness

DOCUMENTATION = """
name: docker_exec
short_description: Output and exit code of a command that only reads, run in a container
description:
  - For questions. What changes something is a task with the action C(container_exec), so that
    it is reported, and skipped under C(--check).
options:
  _terms:
    description: The command and its arguments; no shell unless it names one.
    type: list
    elements: str
  container:
    description: Name or id of the container.
    type: str
    required: true
  user:
    description: User inside the container; the container's own when empty.
    type: str
    default: ""
  environment:
    description: Added to the command's environment. Secrets go here, not into the command, which C(ps) shows.
    type: dict
    default: {}
"""

RETURN = """
_raw:
  description:
    - One dict with C(rc) (the exit code, -1 where the container is missing or stopped) and C(output) (stdout
      and stderr).
  type: list
  elements: dict
"""


class LookupModule(LookupBase):
    """Run the command and hand back what it said."""

    def run(
        self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[dict[str, Any]]:
        """Return one dict, see RETURN; raises EngineError where the engine does not answer."""
        self.set_options(var_options=variables, direct=kwargs)
        command = [word for term in terms for word in ([term] if isinstance(term, str) else term)]
        question = {"command": command} | {name: self.get_option(name) for name in ("user", "environment")}
        with engine.client() as client:
            return [readiness.ask(client, self.get_option("container"), question)]
