"""A service's declaration as the engine has it: read, changed in one place, and given back.

The SDK builds a declaration from its own parameters, and what it has no parameter for would be lost.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any

import docker
from ansible_collections.dashtam.stack.plugins.module_utils.local_action import Problem
from ansible_collections.dashtam.stack.plugins.module_utils.service_progress import Progress, progress
from docker.errors import NotFound

# Somebody else may change it between the reading and the writing; the engine refuses then.
ATTEMPTS = 5
PAUSE = 0.5


def found(api: docker.APIClient, name: str) -> dict[str, Any]:
    """Return what the engine says of a service. Raises Problem where there is none."""
    try:
        service: dict[str, Any] = api.inspect_service(name)
    except NotFound:
        raise Problem(f"there is no service {name}. Deploy it first") from None
    return service


def _post(api: docker.APIClient, path: str, spec: dict[str, Any], **params: Any) -> None:
    answer = api.post(f"{api.base_url}/v{api.api_version}{path}", json=spec, params=params, timeout=60)
    if not answer.ok:
        raise Problem(f"{spec['Name']}: {answer.json().get('message', answer.reason)}")


def create(api: docker.APIClient, spec: dict[str, Any]) -> None:
    """Make a service of a declaration. Raises Problem with the engine's reason."""
    _post(api, "/services/create", spec)


def change(api: docker.APIClient, name: str, edit: Callable[[dict[str, Any]], None]) -> None:
    """Change a service's declaration. Raises Problem with the engine's reason."""
    for attempt in range(ATTEMPTS):
        service = found(api, name)
        spec = copy.deepcopy(service["Spec"])
        edit(spec)
        if spec == service["Spec"]:
            return
        try:
            _post(api, f"/services/{service['ID']}/update", spec, version=service["Version"]["Index"])
        except Problem as problem:
            if "out of sequence" not in str(problem) or attempt == ATTEMPTS - 1:
                raise
            time.sleep(PAUSE)
        else:
            return


def wait(api: docker.APIClient, name: str, timeout: float) -> tuple[Progress, list[dict[str, Any]]]:
    """Wait until a service is done, has failed, or time is up; return what became of it, and its tasks."""
    end = time.monotonic() + timeout
    while True:
        tasks = api.tasks({"service": name})
        told = progress(found(api, name), tasks, changed=True)
        if told.done or told.failure or time.monotonic() > end:
            return told, tasks
        time.sleep(PAUSE)
