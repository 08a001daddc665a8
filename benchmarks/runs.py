"""The runs that people wait for, by the playbooks and by docker compose in turn."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from benchmarks.commands import CommandError, Cost, measure
from benchmarks.compose import Compose, client
from benchmarks.floor import Floor
from benchmarks.playbooks import Playbooks
from benchmarks.results import FLOOR, Row
from benchmarks.sides import Side

TEST_FILE = "tests/unit/core/test_config.py"


@dataclass(frozen=True)
class Run:
    """A run that is timed.

    :param title: what it is, for a table.
    :param start: the state it starts from, see :meth:`Side.bring`.
    :param end: the state it leads to; the same as ``start`` for a run that changes nothing.
    """

    title: str
    start: str
    end: str


# In this order each starts from the state that the one before it left.
RUNS = {
    "cold": Run("cold up, images present, to ready", "absent", "up"),
    "second": Run("second run, nothing differs", "up", "up"),
    "change": Run("one environment value changed", "up", "changed"),
    "down": Run("down", "changed", "down"),
    "again": Run("down and up again, data kept: the up", "down", "up"),
}
TEST = "test-file"


def report(message: str) -> None:
    """Tell the person who waits what has just been measured."""
    sys.stderr.write(message + "\n")
    sys.stderr.flush()


class Bench:
    """What all measurements share: the sides, made when first asked for, and a folder for their files."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds
        # Its files hold secrets; the folder is this user's alone, apart from what containers have to read.
        self._folder = tempfile.TemporaryDirectory(prefix="dashtam-bench-")
        self.folder = Path(self._folder.name)
        self._started: list[Callable[[], None]] = []

    @cached_property
    def compose_client(self) -> tuple[str, ...]:
        """The command that is docker compose."""
        return client()

    def closing(self, action: Callable[[], None]) -> None:
        """Have an action run in the end, the last one first."""
        self._started.append(action)

    def playbooks(self, environment: str) -> Playbooks:
        """Return our side of an environment, up, so that images, secrets and certificates are made."""
        ours = Playbooks(environment)
        self.closing(ours.forget)
        self.closing(ours.remove)
        ours.bring("absent")
        report(f"Preparing the {environment} environment of the instance {ours.instance} ...")
        ours.bring("up")
        return ours

    @cached_property
    def dev(self) -> tuple[Playbooks, Compose]:
        """The development environment on both sides."""
        return self._pair("dev")

    @cached_property
    def test(self) -> tuple[Playbooks, Compose]:
        """The test environment on both sides."""
        return self._pair("test")

    def _pair(self, environment: str) -> tuple[Playbooks, Compose]:
        ours = self.playbooks(environment)
        compose = Compose(ours, self.folder, self.compose_client)
        self.closing(compose.remove)
        ours.bring("absent")
        compose.bring("absent")
        return ours, compose

    @cached_property
    def floor(self) -> Floor:
        """The development environment by `docker run`."""
        floor = Floor(self.dev[1], self.folder)
        self.closing(floor.close)
        floor.remove()
        return floor

    def close(self) -> None:
        """Remove all that was started."""
        while self._started:
            try:
                self._started.pop()()
            except CommandError as error:
                # What is left does not keep the rest.
                report(f"Something could not be removed: {error}")
        self._folder.cleanup()


def _tell(number: int, who: str, title: str, cost: Cost) -> None:
    report(f"  round {number + 1}, {who}: {title}: {cost.wall:.1f} s, {cost.cpu:.1f} CPU seconds")


def _in_turn(sides: Sequence[Side], number: int) -> Sequence[Side]:
    # Whoever goes second may find a warmer cache.
    return sides if number % 2 == 0 else sides[::-1]


def runs(bench: Bench, names: Sequence[str]) -> list[Row]:
    """Measure those of :data:`RUNS`, in seconds."""
    rows = {name: Row(name, run.title) for name, run in RUNS.items() if name in names}
    if not rows:
        return []
    for number in range(bench.rounds):
        for side in _in_turn(bench.dev, number):
            for name, row in rows.items():
                run = RUNS[name]
                side.bring(run.start)
                if run.end == "down":
                    cost = measure(side.down)
                else:
                    cost = measure(partial(side.up, changed=run.end == "changed"))
                side.state = run.end
                row.add(side.name, cost)
                _tell(number, side.name, run.title, cost)
            side.bring("absent")
        if "cold" in rows:
            cost = measure(bench.floor.up)
            bench.floor.remove()
            rows["cold"].add(FLOOR, cost)
            _tell(number, FLOOR, RUNS["cold"].title, cost)
    return list(rows.values())


def test_file(bench: Bench, names: Sequence[str]) -> list[Row]:
    """Measure one file of tests on an environment that is up, in seconds."""
    if TEST not in names:
        return []
    row = Row(TEST, "one test file, environment up")
    for number in range(bench.rounds):
        for side in _in_turn(bench.test, number):
            side.bring("up")
            # Warm means that it has been done before: by then Python has its bytecode.
            side.test(TEST_FILE)
            cost = measure(partial(side.test, TEST_FILE))
            row.add(side.name, cost)
            _tell(number, side.name, row.title, cost)
            side.bring("absent")
    return [row]
