"""The services of a Swarm, how they are and why."""

from __future__ import annotations

from typing import Any

import docker
from ansible.plugins.lookup import LookupBase
from ansible_collections.dashtam.stack.plugins.module_utils import engine
from ansible_collections.dashtam.stack.plugins.module_utils.service_progress import error_of, progress, wanted

DOCUMENTATION = """
name: swarm_services
short_description: Services that carry labels, with their tasks
description: Asks a manager, the engine of the docker client. Changes nothing.
options:
  _terms:
    description: Labels as NAME=VALUE; services that carry all of them.
    type: list
    elements: str
"""

RETURN = """
_raw:
  description:
    - A dict for each service, by name. C(name), C(mode), C(wanted) and C(running) (tasks), C(image) (what
      the label C(image) says), C(nodes) (where tasks run), C(state) (C(ok), C(waiting) or C(failed)),
      C(reason) why it is not ok, C(update) what became of the last update, or null.
    - The list is empty where the engine is no manager of a Swarm.
  type: list
  elements: dict
"""


def described(service: dict[str, Any], tasks: list[dict[str, Any]], nodes: dict[str, str]) -> dict[str, Any]:
    """Return what RETURN says of one service."""
    mode = next(iter(service["Spec"]["Mode"]))
    running = [
        task for task in tasks if task["Status"]["State"] == "running" and task["DesiredState"] == "running"
    ]
    found = progress(service, tasks, changed=False)
    failed = [task for task in tasks if task["Status"].get("Err")]
    last = max(failed, key=lambda task: str(task["Status"]["Timestamp"]), default=None)
    update = service.get("UpdateStatus") or {}
    return {
        "name": service["Spec"]["Name"],
        "mode": {"Replicated": "replicated", "Global": "global", "ReplicatedJob": "job"}.get(mode, mode),
        "wanted": wanted(service, tasks),
        "running": len(running),
        "image": service["Spec"]["Labels"].get("image", ""),
        "nodes": sorted(nodes.get(task.get("NodeID", ""), "?") for task in running),
        "state": "ok" if found.done else "failed" if found.failure else "waiting",
        "reason": None if found.done else found.failure or found.waiting,
        "last_error": error_of(last) if last and not found.done else None,
        "update": {"state": update["State"], "message": update.get("Message", "")}
        if update.get("State")
        else None,
    }


def services(api: docker.APIClient, labels: list[str]) -> list[dict[str, Any]]:
    """Return what RETURN describes."""
    if not api.info()["Swarm"].get("ControlAvailable"):
        return []
    nodes = {node["ID"]: node["Description"]["Hostname"] for node in api.nodes()}
    found = api.services(filters={"label": labels})
    return sorted(
        (
            described(api.inspect_service(one["ID"]), api.tasks({"service": one["Spec"]["Name"]}), nodes)
            for one in found
        ),
        key=lambda service: str(service["name"]),
    )


class LookupModule(LookupBase):
    """Ask the manager."""

    def run(
        self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[dict[str, Any]]:
        """Return a dict for each service; raises EngineError where the engine does not answer."""
        with engine.client() as api:
            return services(api, [str(term) for term in terms])
