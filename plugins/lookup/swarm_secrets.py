"""The secrets of a Swarm, without their values, which nobody can read again."""

from __future__ import annotations

from typing import Any

from ansible.plugins.lookup import LookupBase
from ansible_collections.dashtam.stack.plugins.module_utils import engine

DOCUMENTATION = """
name: swarm_secrets
short_description: Names, ids and labels of a Swarm's secrets
description: Asks a manager, the engine of the docker client. Changes nothing.
options:
  _terms:
    description: What their names begin with.
    type: list
    elements: str
"""

RETURN = """
_raw:
  description: A dict for each secret with C(name), C(id) and C(labels).
  type: list
  elements: dict
"""


class LookupModule(LookupBase):
    """Ask the manager."""

    def run(
        self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[dict[str, Any]]:
        """Return a dict for each secret; raises EngineError where the engine does not answer."""
        with engine.client() as api:
            found = [secret for term in terms for secret in api.secrets(filters={"name": str(term)})]
        return [
            {"name": one["Spec"]["Name"], "id": one["ID"], "labels": one["Spec"].get("Labels") or {}}
            for one in found
        ]
