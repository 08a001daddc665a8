"""Run a command to its end in a container of its own, and show what it prints while it runs."""

from __future__ import annotations

import secrets
import threading
from contextlib import suppress
from typing import Any

from ansible.utils.display import Display
from ansible_collections.dashtam.stack.plugins.filter.containers import container_redact
from ansible_collections.dashtam.stack.plugins.module_utils import engine, engine_containers, engine_volumes
from ansible_collections.dashtam.stack.plugins.module_utils.interruption import interruptible
from ansible_collections.dashtam.stack.plugins.module_utils.lines import Lines
from ansible_collections.dashtam.stack.plugins.module_utils.local_action import LocalAction, Problem
from docker import APIClient
from docker.errors import APIError

DOCUMENTATION = """
name: container_run
short_description: Run a command once, in a container that is made for it
description:
  - The container is made of a declaration, without its ports, names and health check, and removed
    afterwards, on Ctrl-C as well.
  - Fails unless the command ends with 0. Skipped under C(--check).
options:
  spec:
    description: The container (role C(container), one of C(container_specs)).
    type: dict
    required: true
  command:
    description: The command and its arguments, in place of the container's own.
    type: list
    elements: str
    required: true
  timeout:
    description: Seconds within which it must end.
    type: int
    required: true
  log:
    description: C(driver) and C(options) of its log.
    type: dict
    required: true
"""

RETURN = """
rc:
  description: The exit code.
  type: int
"""

# It serves nobody, and nobody asks whether it is well.
ALONE = {
    "aliases": [],
    "published_ports": [],
    "restart_policy": "no",
    "healthcheck": {"test": ["NONE"], "interval": "0s", "timeout": "0s", "retries": 0, "start_period": "0s"},
}


class ActionModule(LocalAction):
    """Make it, follow it, remove it."""

    def act(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the module-like result, see RETURN."""
        if self.dry_run:
            return {"skipped": True, "rc": 0}
        spec, timeout = arguments["spec"] | ALONE | {"command": arguments["command"]}, arguments["timeout"]
        name = f"{spec['name']}-run-{secrets.token_hex(3)}"
        try:
            # A command may be silent for as long as it may take.
            with interruptible(), engine.client(timeout=timeout + 60) as api:
                code, in_time = self._follow(api, spec, name, timeout, arguments["log"])
        except engine.EngineError as error:
            raise Problem(f"{name}: {container_redact(str(error), [spec])}") from None
        words = container_redact(" ".join(spec["command"]), [spec])
        if not in_time:
            raise Problem(f"{words} did not end within {timeout} s, and was killed.")
        if code != 0:
            raise Problem(f"{words} ended with exit code {code}. What it printed is above.")
        return {"changed": True, "rc": code}

    def _follow(
        self, api: APIClient, spec: dict[str, Any], name: str, timeout: int, log: dict[str, Any]
    ) -> tuple[int, bool]:
        """Return the exit code, and whether the command ended by itself."""
        lines = Lines(lambda line: Display().display(container_redact(line, [spec])))
        engine_volumes.own(api, spec, name, spec["labels"])
        created = engine_containers.create(api, spec, name, spec["labels"], log)
        late = threading.Event()

        def end() -> None:
            late.set()
            with suppress(APIError, engine.EngineError), engine.client() as another:
                another.kill(created)

        timer = threading.Timer(timeout, end)
        try:
            api.start(created)
            timer.start()
            for piece in api.logs(created, stream=True, follow=True):
                lines.feed(piece)
            lines.close()
            return int(api.wait(created)["StatusCode"]), not late.is_set()
        finally:
            timer.cancel()
            api.remove_container(created, v=True, force=True)
