"""What is compared: one environment, made by the playbooks or by docker compose."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

INSTANCE = "bench"
PORT_OFFSET = 400
# Shown to change: every service that is ours reads it.
CHANGED = ("LOG_LEVEL", "DEBUG")


class Side(ABC):
    """One way to have an environment. It knows in which state it left the engine."""

    name: ClassVar[str]

    def __init__(self, environment: str) -> None:
        self.environment = environment
        self.state = "unknown"

    def bring(self, state: str) -> None:
        """Reach a state: ``absent`` (no data either), ``up``, ``changed`` (one value differs) or ``down``."""
        if state == self.state:
            return
        if state == "absent":
            self.remove()
        elif state == "down":
            if self.state != "changed":
                self.bring("up")
            self.down()
        else:
            self.up(changed=state == "changed")
        self.state = state

    @abstractmethod
    def up(self, changed: bool = False) -> None:
        """Start what is not running as declared and wait until it is ready."""

    @abstractmethod
    def down(self) -> None:
        """Remove containers and network; keep the data."""

    @abstractmethod
    def remove(self) -> None:
        """Remove everything, data included."""

    @abstractmethod
    def test(self, path: str) -> None:
        """Run one file of tests against a clean database, on an environment that is up."""

    @abstractmethod
    def container(self, service: str) -> str:
        """Return the name of a service's container."""

    @abstractmethod
    def containers(self) -> list[str]:
        """Return the names of its containers."""
