"""Run a command once, as a job like one that is deployed."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import docker
from ansible_collections.dashtam.stack.plugins.action.service_wait import last_log
from ansible_collections.dashtam.stack.plugins.module_utils import engine, service_specs
from ansible_collections.dashtam.stack.plugins.module_utils.interruption import interruptible
from ansible_collections.dashtam.stack.plugins.module_utils.local_action import LocalAction, Problem
from docker.errors import NotFound

DOCUMENTATION = """
name: service_job
short_description: Run a command as a job of a Docker Swarm that is like a deployed one
description:
  - The job has the image, secrets, mounts, network and limits of the deployed one, another name and another
    command. It is removed when it has ended, and so are the secrets that it had for itself. What an
    interrupted run has left of it is removed first.
  - A command that fails does not fail the task. O(like) must be a job.
options:
  like:
    description: Name of the deployed job.
    type: str
    required: true
  name:
    description: What the new one is called.
    type: str
    required: true
  command:
    description: The command, behind the image's entrypoint.
    type: list
    elements: str
    required: true
  secrets:
    description: Secrets of the deployed job that have another value in this one, by the name of their file.
    type: dict
    default: {}
  timeout:
    description: Seconds that it may take.
    type: int
    default: 300
  log_lines:
    description: Lines of its output that are returned.
    type: int
    default: 200
"""

RETURN = """
status:
  description: 0 where the command has succeeded, 1 otherwise.
  type: int
output:
  description: The end of what it printed, or why it did not run.
  type: str
"""


def _own_name(name: str, file: str) -> str:
    return f"{name}_{file}"


def _remove(api: docker.APIClient, name: str, secrets: Mapping[str, str]) -> None:
    with suppress(NotFound):
        api.remove_service(name)
    for file in secrets:
        with suppress(NotFound):
            api.remove_secret(_own_name(name, file))


@contextmanager
def _job(api: docker.APIClient, args: dict[str, Any]) -> Iterator[None]:
    """Make the job, and remove it whether or not it succeeds."""
    name, secrets = args["name"], args["secrets"]
    spec = copy.deepcopy(service_specs.found(api, args["like"])["Spec"])
    if "ReplicatedJob" not in spec["Mode"]:
        raise Problem(f"{args['like']} is not a job")
    container = spec["TaskTemplate"]["ContainerSpec"]
    spec["Name"], container["Args"] = name, list(args["command"])
    files = {one["File"]["Name"]: one for one in container.get("Secrets") or []}
    if unknown := sorted(secrets.keys() - files.keys()):
        raise Problem(f"{args['like']} has no secret {', '.join(unknown)}")
    _remove(api, name, secrets)
    try:
        for file, value in secrets.items():
            own = _own_name(name, file)
            made = api.create_secret(own, str(value).encode(), labels=spec["Labels"])
            files[file] |= {"SecretID": made["ID"], "SecretName": own}
        service_specs.create(api, spec)
        yield
    finally:
        _remove(api, name, secrets)


class ActionModule(LocalAction):
    """Run it in the controller's process; see DOCUMENTATION."""

    def act(self, args: dict[str, Any]) -> dict[str, Any]:
        """Return the module-like result, see RETURN."""
        if self.dry_run:
            return {"skipped": True, "status": 0, "output": ""}
        with interruptible(), engine.client() as api, _job(api, args):
            told, tasks = service_specs.wait(api, args["name"], args["timeout"])
            if told.done:
                return {"status": 0, "output": ""}
            task = told.task or next((task["ID"] for task in tasks), "")
            said = [last_log(api, task, args["log_lines"])] if task else []
            said += [told.failure or f"it has not ended after {args['timeout']} s: {told.waiting}"]
            return {"status": 1, "output": "\n".join(said)}
        raise Problem("interrupted")
