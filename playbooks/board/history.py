"""`make history`: the last runs of this checkout's playbooks, as a table or as JSON.

python -m playbooks.board.history [--count 20] [--format json]
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
from datetime import datetime
from pathlib import Path

from ansible_collections.dashtam.stack.plugins.module_utils.run_history import KEPT, PLACE, Run, read

from playbooks.board import CHECKOUT

COLUMNS = ("WHEN", "WHO", "RUN", "ENVIRONMENT", "TOOK", "CHANGED", "RESULT")


class HistoryError(Exception):
    """What is wrong with the file, and what to do, in one line."""


def runs(count: int = KEPT, checkout: Path = CHECKOUT) -> list[Run]:
    """Return the last runs, the newest first. Raises HistoryError."""
    try:
        return read(checkout / PLACE, count)
    except (sqlite3.Error, ValueError) as error:
        raise HistoryError(
            f"{PLACE} cannot be read: {error}. If that stays so, remove it: rm {PLACE}*"
        ) from None


def took(seconds: float) -> str:
    """Return a duration for people: ``8.4 s``, ``12 min 5 s``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def tests(run: Run) -> str:
    """Return what the tests of a run came to, empty if none ran."""
    return ", ".join(f"{count} {name}" for name, count in run.tests.items())


def _cells(run: Run) -> tuple[str, ...]:
    # In the reader's own zone, as a clock on the wall says it.
    moment = datetime.fromtimestamp(run.started).astimezone()
    result = f"{run.result}: {tests(run)}" if run.tests else run.result
    environments = ", ".join(run.environments)
    return (
        f"{moment:%Y-%m-%d %H:%M}",
        run.user,
        run.playbook,
        environments,
        took(run.seconds),
        str(run.changed),
        result,
    )


def table(found: list[Run]) -> list[str]:
    """Return a line for each run below the titles of the columns."""
    rows = [COLUMNS, *map(_cells, found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def positive(text: str) -> int:
    """Return a number of runs. Raises argparse.ArgumentTypeError."""
    if not text.isdecimal() or not 1 <= int(text) <= KEPT:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to {KEPT}")
    return int(text)


def main() -> int:
    """Print the last runs; an exit code."""
    parser = argparse.ArgumentParser(prog="make history", usage="make history [COUNT=20] [FORMAT=json]")
    parser.add_argument("--count", metavar="COUNT", type=positive, default=20)
    parser.add_argument("--format", metavar="FORMAT", choices=["text", "json"], default="text")
    asked = parser.parse_args()
    try:
        found = runs(asked.count)
    except HistoryError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if asked.format == "json":
        sys.stdout.write(f"{json.dumps([run.as_dict() for run in found], indent=2)}\n")
    elif found:
        sys.stdout.write("\n".join([*table(found), ""]))
    else:
        sys.stdout.write("No run is known yet. Playbooks such as that of `make dev` are kept here.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
