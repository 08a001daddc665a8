"""Runs the benchmark and shows its results."""

from __future__ import annotations

import argparse
import datetime
import fcntl
import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

from benchmarks import database, instances, machine, readme, rest, results, runs
from benchmarks.commands import ROOT, CommandError
from benchmarks.runs import Bench, report

INTERRUPTED = 130
# A part of the measurements is no result to commit.
PARTIAL = ROOT / "reports/benchmark.json"
MEASUREMENTS: dict[str, Callable[[Bench, Sequence[str]], list[results.Row]]] = {
    **dict.fromkeys(runs.RUNS, runs.runs),
    runs.TEST: runs.test_file,
    instances.NAME: instances.instances,
    rest.NAME: rest.rest,
    database.NAME: database.database,
}


def arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often each side is measured (default: 3)")
    parser.add_argument(
        "--only",
        default=",".join(MEASUREMENTS),
        metavar="NAME,NAME",
        help=f"measure these alone: {', '.join(MEASUREMENTS)}",
    )
    asked = parser.parse_args()
    asked.names = asked.only.split(",")
    unknown = [name for name in asked.names if name not in MEASUREMENTS]
    if unknown:
        parser.error(f"no such measurement: {', '.join(unknown)}; choose from {', '.join(MEASUREMENTS)}")
    if asked.rounds < 1:
        parser.error("--rounds must be 1 or more")
    return asked


def interrupted(number: int, frame: FrameType | None) -> None:
    """End as with Ctrl-C, so that everything is removed."""
    raise KeyboardInterrupt


def measured(asked: argparse.Namespace) -> tuple[list[results.Row], dict[str, Any]]:
    """Measure what is asked for and remove everything again.

    :raises CommandError: something failed, or another benchmark is running in this checkout.
    """
    folder = os.open(results.LATEST.parents[1], os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(folder)
        raise CommandError("Another benchmark is running in this checkout.") from None
    bench = Bench(asked.rounds)
    try:
        description = {
            "measured": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "rounds": asked.rounds,
            "machine": machine.describe(bench.compose_client),
        }
        functions = dict.fromkeys(MEASUREMENTS[name] for name in asked.names)
        return [row for function in functions for row in function(bench, asked.names)], description
    finally:
        # A second Ctrl-C would leave containers behind.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        report("Removing what was started ...")
        bench.close()
        os.close(folder)


def main() -> int:
    """Measure, show and save; return the exit code."""
    asked = arguments()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    try:
        rows, description = measured(asked)
    except CommandError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    complete = set(asked.names) == set(MEASUREMENTS)
    path = results.LATEST if complete else PARTIAL
    results.save(path, rows, description)
    if complete:
        readme.main([])
    sys.stdout.write(f"{machine.sentence(description['machine'])}\n\n{results.table(rows)}\n\n")
    sys.stdout.write(f"Medians of {asked.rounds} round{'s' * (asked.rounds > 1)}: {path.relative_to(ROOT)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
