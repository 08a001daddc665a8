"""What an engine says of its part in a Swarm."""

from __future__ import annotations

from typing import Any

import docker
from ansible.plugins.lookup import LookupBase
from ansible_collections.dashtam.stack.plugins.module_utils import engine

DOCUMENTATION = """
name: swarm_state
short_description: Whether an engine is a node of a Swarm, and which
description: Asks the engine in the controller's own process. Changes nothing.
options:
  _terms:
    description: Address of the engine, as DOCKER_HOST has it; empty is the engine of the docker client.
    type: list
    elements: str
"""

RETURN = """
_raw:
  description:
    - A dict for each engine. C(state) is C(active) in a Swarm, C(manager) says whether it can change it,
      C(node) and C(address) are the node's id and address, C(hostname) its name, C(labels) those that the
      Swarm knows the node by (only a manager is asked), C(networks) the names of all networks.
  type: list
  elements: dict
"""


def state(api: docker.APIClient) -> dict[str, Any]:
    """Return what RETURN describes."""
    info = api.info()
    swarm = info["Swarm"]
    manager = bool(swarm.get("ControlAvailable"))
    node = swarm.get("NodeID", "")
    labels = (api.inspect_node(node)["Spec"].get("Labels") or {}) if manager else {}
    return {
        "state": swarm["LocalNodeState"],
        "manager": manager,
        "node": node,
        "address": swarm.get("NodeAddr", ""),
        "hostname": info["Name"],
        "labels": labels,
        "networks": sorted(network["Name"] for network in api.networks()),
    }


class LookupModule(LookupBase):
    """Ask the engines, one after the other."""

    def run(
        self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[dict[str, Any]]:
        """Return a dict for each address; raises EngineError where one does not answer."""
        found = []
        for term in terms or [""]:
            with engine.client(host=str(term or "")) as api:
                found.append(state(api))
        return found
