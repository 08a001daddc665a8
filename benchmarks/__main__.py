"""Runs the benchmark and shows its results."""

from __future__ import annotations

import argparse
import datetime
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType

from benchmarks import database, instances, machine, readme, rest, results, runs
from benchmarks.commands import ROOT, CommandError
from benchmarks.runs import Bench

# A part of the measurements, or a run that failed, is no result to commit.
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
    """End as with Ctrl-C, so that everything is cleaned up."""
    raise KeyboardInterrupt


def main() -> int:
    """Measure, show and save; return the exit code."""
    asked = arguments()
    signal.signal(signal.SIGTERM, interrupted)
    bench = Bench(asked.rounds)
    rows: list[results.Row] = []
    try:
        description = {
            "measured": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "rounds": asked.rounds,
            "machine": machine.describe(bench.compose_client),
        }
        for function in dict.fromkeys(MEASUREMENTS[name] for name in asked.names):
            rows += function(bench, asked.names)
    except CommandError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted; removing what was started ...\n")
        return 130
    finally:
        # A second Ctrl-C would leave containers behind.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        bench.close()
    complete = set(asked.names) == set(MEASUREMENTS)
    path = results.LATEST if complete else PARTIAL
    results.save(path, rows, description)
    if complete:
        readme.main([])
    sys.stdout.write(f"{machine.sentence(description['machine'])}; medians of {asked.rounds} rounds\n\n")
    sys.stdout.write(f"{results.table(rows)}\n\nSaved: {path.relative_to(ROOT)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
