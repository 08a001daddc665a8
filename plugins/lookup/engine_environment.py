"""The environment in which modules talk to the engine that everything else talks to."""

from __future__ import annotations

from typing import Any

from ansible.plugins.lookup import LookupBase
from ansible_collections.dashtam.stack.plugins.module_utils import engine

DOCUMENTATION = """
name: engine_environment
short_description: Variables that lead a module to the Docker engine of the docker client
description:
  - The docker client follows its contexts. The modules of community.docker know C(DOCKER_HOST) alone, so
    without this they may change the containers of another engine than the one that was inspected.
  - Goes into C(environment) of every task with such a module. Asks no engine.
options:
  _terms:
    description: Address of another engine, as DOCKER_HOST has it. Empty is the engine of the docker client.
    type: list
    elements: str
"""

RETURN = """
_raw:
  description: One dict with C(DOCKER_HOST), and what TLS needs where the context has certificates.
  type: list
  elements: dict
"""


class LookupModule(LookupBase):
    """Find the engine's address, as all plugins do."""

    def run(
        self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[dict[str, str]]:
        """Return a list with one dict; fails where the context does not exist."""
        host = str(terms[0] or "") if terms else ""
        return [(engine.Address(host) if host else engine.address()).environment]
