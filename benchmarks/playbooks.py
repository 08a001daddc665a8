"""An environment that the playbooks make, by the targets that people use."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

from benchmarks.commands import ROOT, remove_labelled, run
from benchmarks.sides import CHANGED, INSTANCE, PORT_OFFSET, Side


class Playbooks(Side):
    """The environment of an instance that nobody else has."""

    name: ClassVar[str] = "ours"

    def __init__(self, environment: str, instance: str = INSTANCE, port_offset: int = PORT_OFFSET) -> None:
        super().__init__(environment)
        self.instance = instance
        self.port_offset = port_offset

    def make(self, *arguments: str) -> str:
        """Run a target for this instance and return what it prints."""
        instance = (f"INSTANCE={self.instance}", f"PORT_OFFSET={self.port_offset}")
        return run("make", "--no-print-directory", *arguments, *instance)

    def up(self, changed: bool = False) -> None:
        """See :meth:`Side.up`."""
        target = {"dev": "dev", "test": "test-up"}[self.environment]
        self.make(target, *([f"ANSIBLE_ARGS=-e {'='.join(CHANGED)}"] if changed else []))

    def down(self) -> None:
        """See :meth:`Side.down`."""
        self.make(f"{self.environment}-down")

    def remove(self) -> None:
        """See :meth:`Side.remove`. Secrets are kept until :meth:`forget`."""
        remove_labelled(
            f"dashtam.instance={self.instance}",
            f"dashtam.environment={self.environment}",
            f"dashtam.checkout={ROOT}",
        )

    def forget(self) -> None:
        """Remove the instance's secrets and its rendered env file."""
        for name in (f".secrets.{self.environment}.{self.instance}.yml", self.env_file.name):
            (ROOT / "env" / name).unlink(missing_ok=True)

    def test(self, path: str) -> None:
        """See :meth:`Side.test`."""
        self.make("test", f"ARGS={path}")

    def container(self, service: str) -> str:
        """See :meth:`Side.container`."""
        return f"{self.instance}-{self.environment}-{service}"

    def containers(self) -> list[str]:
        """See :meth:`Side.containers`."""
        labels = (f"dashtam.instance={self.instance}", f"dashtam.environment={self.environment}")
        filters = [word for label in labels for word in ("--filter", f"label={label}")]
        return run("docker", "ps", "--format", "{{.Names}}", *filters).split()

    @property
    def env_file(self) -> Path:
        """The rendered file with the environment's values."""
        return ROOT / f"env/.env.{self.environment}.{self.instance}"

    def compose_file(self) -> str:
        """Return the text of a compose file for this environment."""
        shown = self.make("plan", f"LIMIT={self.environment}", "FORMAT=compose")
        return re.sub(r"\A.*?^(?=# The )", "", shown, flags=re.DOTALL | re.MULTILINE)
