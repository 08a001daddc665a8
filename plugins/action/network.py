"""Make a bridge network, or make it again where it is not as declared."""

from __future__ import annotations

from typing import Any

import docker
from ansible.plugins.action import ActionBase
from ansible_collections.dashtam.stack.plugins.module_utils import engine

DOCUMENTATION = """
name: network
short_description: A bridge network that is as declared
description:
  - In the controller's process, where P(community.docker.docker_network#module) costs 0.7 s whatever it does.
  - Fails where the network exists with other labels than these.
options:
  name:
    description: Its name.
    type: str
    required: true
  internal:
    description: Whether it has no route out. One that differs is removed and created again.
    type: bool
    required: true
  labels:
    description: Its labels.
    type: dict
    required: true
"""

REFUSAL = """\
The network {0} exists and is not ours: its labels differ from ours.
Nothing was touched. Remove it (docker network rm {0}) or use another instance name."""


class ActionModule(ActionBase):
    """Look, and make it where that is needed."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module-like result."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(
            argument_spec={
                "name": {"type": "str", "required": True},
                "internal": {"type": "bool", "required": True},
                "labels": {"type": "dict", "required": True},
            }
        )
        name, internal, labels = (arguments[key] for key in ("name", "internal", "labels"))
        with engine.client() as client:
            found = next((each for each in client.networks(names=[name]) if each["Name"] == name), None)
            if found and (found["Labels"] or {}) != labels:
                return result | {"failed": True, "msg": REFUSAL.format(name)}
            if found and found["Internal"] == internal:
                return result | {"changed": False}
            if not self._task.check_mode:
                if found:
                    _remove(client, found["Id"])
                # Address range and IPv6 stay the engine's own: a range of ours could collide with a VPN's.
                client.create_network(
                    name, driver="bridge", internal=internal, labels=labels, check_duplicate=True
                )
        return result | {"changed": True}


def _remove(client: docker.APIClient, network: str) -> None:
    for container in client.inspect_network(network)["Containers"]:
        client.disconnect_container_from_network(container, network, force=True)
    client.remove_network(network)
