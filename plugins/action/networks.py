"""Make bridge networks, or make them again where they are not as declared."""

from __future__ import annotations

from typing import Any

import docker
from ansible_collections.dashtam.stack.plugins.module_utils import engine, lock, progress
from ansible_collections.dashtam.stack.plugins.module_utils.local_action import LocalAction, Problem

DOCUMENTATION = """
name: networks
short_description: Bridge networks that are as declared
description:
  - In the controller's process, where P(community.docker.docker_network#module) costs 0.7 s whatever it does.
  - Fails where one of them exists with other labels than these; then none is touched.
options:
  networks:
    description:
      - One whose C(internal) differs is removed, the containers on it are disconnected, and it is created
        again.
    type: list
    elements: dict
    required: true
    options:
      name: {description: Its name., type: str, required: true}
      internal: {description: Whether it has no route out., type: bool, required: true}
      labels: {description: Its labels., type: dict, required: true}
  lock:
    description:
      - The labels whose containers one run at a time changes, as for C(container_apply). An engine that is
        asked twice at the same time makes two networks of one name.
    type: dict
    required: true
  engine:
    description: What C(container_compare) returned as C(engine). Another engine is left alone.
    type: str
    default: ""
"""

RETURN = """
created:
  description: Names of the networks that were created; under C(--check), that would be.
  type: list
recreated:
  description: The same of those that were created again.
  type: list
"""

REFUSAL = """\
The network {0} exists and is not ours: its labels differ from ours.
Nothing was touched. Remove it (docker network rm {0}) or use another instance name."""


class ActionModule(LocalAction):
    """Look at all of them, then make those that need it."""

    def act(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the module-like result, see RETURN."""
        wanted = {network["name"]: network for network in arguments["networks"]}
        with lock.exclusive(arguments["lock"]), engine.client() as client:
            engine.require_same(client, arguments["engine"])
            found = {each["Name"]: each for each in client.networks() if each["Name"] in wanted}
            for name, has in found.items():
                if (has["Labels"] or {}) != wanted[name]["labels"]:
                    raise Problem(REFUSAL.format(name))
            created = [name for name in wanted if name not in found]
            recreated = [name for name, has in found.items() if has["Internal"] != wanted[name]["internal"]]
            if not self.dry_run:
                for name in recreated:
                    _remove(client, found[name]["Id"])
                for name in recreated + created:
                    done = "created again" if name in recreated else "created"
                    with progress.step("network", name, "creating", done):
                        _create(client, **wanted[name])
        return {"changed": bool(created + recreated), "created": created, "recreated": recreated}


def _create(client: docker.APIClient, name: str, internal: bool, labels: dict[str, str]) -> None:
    # Address range and IPv6 stay the engine's own: a range of ours could collide with a VPN's.
    client.create_network(name, driver="bridge", internal=internal, labels=labels, check_duplicate=True)


def _remove(client: docker.APIClient, network: str) -> None:
    for container in client.inspect_network(network)["Containers"]:
        client.disconnect_container_from_network(container, network, force=True)
    client.remove_network(network)
