"""What the environments are declared to be, as `make plan` says it: no engine, no secret."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.dashtam.stack.plugins.filter.container_ports import port_lines

from doctor.findings import FAIL, OK, ROOT, Finding

# The third, ci, publishes no port and is no person's own.
ENVIRONMENTS = ("dev", "test")


@dataclass(frozen=True)
class Environment:
    """An environment's containers, as they are declared.

    :param name: ``dev`` or ``test``.
    :param specs: each container, as the role ``container`` takes it.
    """

    name: str
    specs: list[dict[str, Any]]

    @property
    def prefix(self) -> str:
        """What the names of its containers begin with, such as ``dashtam-dev``."""
        (app,) = (spec["name"] for spec in self.specs if spec["labels"]["dashtam.service"] == "app")
        return str(app).removesuffix("-app")

    @property
    def suffix(self) -> str:
        """What files of an instance have in their names: nothing for the first one."""
        instance = self.prefix.removesuffix(f"-{self.name}")
        return "" if instance == "dashtam" else f".{instance}"

    @property
    def own_file(self) -> str:
        """Where a person's own values for this instance belong."""
        return f"env/local.{self.name}{self.suffix}.yml"

    @property
    def variables(self) -> set[str]:
        """The names of the app's variables."""
        (app,) = (spec for spec in self.specs if spec["name"] == f"{self.prefix}-app")
        return set(app["env"])

    def port_line(self, clash: dict[str, Any]) -> str:
        """Return the line that moves a port which somebody else holds."""
        free = clash.get("free", clash["port"] + 1000)
        (line,) = port_lines([clash | {"free": free}], f"{self.prefix}-")
        return line


def environments(instance: str, port_offset: int) -> tuple[list[Environment], Finding]:
    """Return the environments, none if they cannot be worked out, and what there is to say about that."""
    command = [str(Path(sys.executable).with_name("ansible-playbook"))]
    for name in ENVIRONMENTS:
        command += ["-i", f"inventories/{name}"]
    command += ["playbooks/plan.yml", "-e", "plan_format=json"]
    command += ["-e", f"dashtam_instance={instance}"] if instance else []
    command += ["-e", f"dashtam_port_offset={port_offset}"] if port_offset else []
    settings = {
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "playbooks/collections"),
        "ANSIBLE_NOCOLOR": "1",
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    ran = subprocess.run(  # noqa: S603 - our own playbook
        command, cwd=ROOT, env=inherited | settings, capture_output=True, text=True, check=False
    )
    if ran.returncode != 0:
        faults = [line for line in (ran.stderr or ran.stdout).splitlines() if re.search(r"\w", line)]
        return [], Finding("settings", FAIL, " ".join(faults), "correct it, then: make plan")
    plans = json.loads(ran.stdout)
    found = [
        Environment(name, [{"name": container} | spec for container, spec in plan["containers"].items()])
        for name, plan in plans.items()
    ]
    return found, Finding("settings", OK, f"the settings of {', '.join(plans)} are valid")
