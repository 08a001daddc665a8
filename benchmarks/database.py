"""Tests that use the database a lot: clones, savepoints and workers, against tables made for each test.

The same tests run both ways, inside the app's container. The other way has one process, as its tests share a
database, and PostgreSQL as it is installed: every commit reaches the disk.
"""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.commands import CommandError, measure, run
from benchmarks.compose import IDENTITY, INIT, PYTEST, Compose
from benchmarks.results import Row
from benchmarks.runs import Bench, report
from benchmarks.sides import Side

NAME = "database"
SUITE = Path(__file__).with_name("suite")
INSIDE = "/tmp/suite"  # noqa: S108 - a folder of the container's own, as nothing else in it can be written
# As `make test` runs all tests.
OURS = ("-p", "tests.services", "--numprocesses=auto", "--maxprocesses=4", "--dist=loadfile")
OTHER = ("-p", "recreate")
FAST = re.compile(r"-c(fsync|full_page_writes|synchronous_commit)=")


def stock(compose: Compose) -> None:
    """Give a project PostgreSQL with its own defaults, on a volume instead of memory."""
    service = compose.declared["services"]["postgres"]
    service["command"] = [word for word in service["command"] if not FAST.match(word)]
    service["volumes"] = [
        {"type": "volume", "source": "data", "target": mount["target"]} for mount in service["volumes"]
    ]
    compose.declared["volumes"] = {"data": {}}


def _place(container: str) -> None:
    """Put the suite into a running container."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path in SUITE.glob("*.py"):
            archive.add(path, path.name)
    run("docker", "exec", container, "mkdir", "-p", INSIDE)
    run("docker", "exec", "-i", container, "tar", "-x", "-C", INSIDE, stdin=packed.getvalue())


def _initialise(side: Side) -> None:
    """Drop and recreate everything in the test database and fill the template."""
    app, postgres = side.container("app"), side.container("postgres")
    database = run("docker", "exec", app, "printenv", "POSTGRES_DB").strip()
    psql = ("psql", "-qAtX", "-U", "postgres", "-d", database, "-c", IDENTITY)
    identity = run("docker", "exec", "-u", "postgres", postgres, *psql).strip()
    run("docker", "exec", "-e", f"TEST_DATABASE_IDENTITY={identity}", app, *INIT)


def _pytest(container: str, arguments: Sequence[str], path: str = INSIDE) -> int:
    """Run the suite, or a file of it, and return how many tests passed."""
    modules = f"PYTHONPATH={INSIDE}:/app"
    printed = run("docker", "exec", "-e", modules, container, *PYTEST, *arguments, "--rootdir", INSIDE, path)
    passed = re.search(r"(\d+) passed", printed)
    if not passed:
        raise CommandError(printed)
    return int(passed[1])


def database(bench: Bench, names: Sequence[str]) -> list[Row]:
    """Measure the suite both ways, in seconds; ours includes the initialisation that fills the template."""
    if NAME not in names:
        return []
    ours, compose = bench.test
    stock(compose)
    row = Row(NAME, "")
    counts: dict[str, set[int]] = {}
    for number in range(bench.rounds):
        for side in (ours, compose):
            side.bring("up")
            app = side.container("app")
            _place(app)
            if side is ours:
                _initialise(side)
            # What Python compiles once is no part of either way.
            _pytest(app, OURS if side is ours else OTHER, f"{INSIDE}/test_users.py")
            passed = counts.setdefault(side.name, set())

            def suite(side: Side = side, app: str = app, passed: set[int] = passed) -> None:
                if side is ours:
                    _initialise(side)
                passed.add(_pytest(app, OURS if side is ours else OTHER))

            cost = measure(suite)
            # The client only waits; what is used is used in the containers.
            row.values.setdefault(side.name, []).append(round(cost.wall, 3))
            report(f"  round {number + 1}, {side.name}: database tests: {cost.wall:.1f} s")
            side.bring("absent")
    if len(set.union(*counts.values())) != 1:
        raise CommandError(f"Not the same tests passed on both sides: {counts}")
    (count,) = counts[ours.name]
    row.title = f"{count} database tests; compose: drop and create per test, stock PostgreSQL"
    return [row]
