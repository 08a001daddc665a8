"""Drift on demand: `make drift` for one environment of this checkout, one at a time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections import Counter
from typing import Any

from ansible_collections.dashtam.stack.plugins.module_utils.secrets import redacted

from playbooks.board import CHECKOUT
from playbooks.instances import FIRST

# Seconds; it takes about three.
LIMIT = 120
# What a service has as its port where there is no offset (inventories/dev); test's is the next one.
PORTS = {"app": 8000, "callback": 8182, "fake-schwab": 9443, "mail": 8025, "postgres": 5432, "redis": 6379}


class BusyError(Exception):
    """Another comparison is under way."""


def offset(objects: list[dict[str, Any]]) -> str:
    """Return the port offset that most of an instance's services have, empty if none publishes a port.

    :param objects: as ``container_instances`` returns them.
    """
    found = [
        (int(address.rpartition(":")[2]) - PORTS[each["service"]]) // 10 * 10
        for each in objects
        if each.get("service") in PORTS
        for address in each["ports"]
    ]
    most = Counter(found).most_common(1)
    return str(most[0][0]) if most and most[0][0] > 0 else ""


def command(instance: dict[str, Any]) -> list[str]:
    """Return what a person would type, and what keeps this shell's own settings out.

    The targets `venv` and `engine` are left out: whoever looks must not install or start an engine.
    """
    moved = offset(instance["objects"]) if instance["instance"] != FIRST else ""
    return [
        *("make", "--no-print-directory", "--old-file=venv", "--old-file=engine"),
        *("drift", "FORMAT=json", f"LIMIT={instance['environment']}"),
        *(f"INSTANCE={instance['instance']}", f"PORT_OFFSET={moved}", "ANSIBLE_ARGS=", "CALLBACK="),
    ]


class Comparison:
    """Compares an environment with its declaration; nothing is changed."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def run(self, instance: dict[str, Any]) -> dict[str, Any]:
        """Return what `make drift FORMAT=json` prints, ``compared`` and ``drift``, or ``fault`` as a text.

        :param instance: one of ``container_instances``, of this checkout.
        :raises BusyError: another comparison is under way.
        """
        if self._lock.locked():
            raise BusyError
        async with self._lock:
            return await self._run(command(instance))

    async def _run(self, words: list[str]) -> dict[str, Any]:
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))
        }
        process = await asyncio.create_subprocess_exec(
            *words,
            cwd=CHECKOUT,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            output, errors = await asyncio.wait_for(process.communicate(), LIMIT)
        except TimeoutError:
            return {"fault": f"`make drift` has not ended within {LIMIT} s."}
        finally:
            # Whoever waited is gone, or the board ends.
            with contextlib.suppress(ProcessLookupError):
                if process.returncode is None:
                    os.killpg(process.pid, signal.SIGTERM)
        try:
            found: dict[str, Any] = json.loads(output)
        except ValueError:
            said = [
                line
                for line in errors.decode(errors="replace").splitlines()
                if not line.startswith("make: ***")
            ]
            return {"fault": redacted("\n".join(said).strip() or "`make drift` has said nothing.", {})}
        return found
