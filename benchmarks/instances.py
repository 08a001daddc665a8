"""What a second run costs when many instances run side by side on one machine."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.commands import measure
from benchmarks.playbooks import Playbooks
from benchmarks.results import Row
from benchmarks.runs import Bench, report
from benchmarks.sides import INSTANCE, PORT_OFFSET

NAME = "instances"
COUNTS = (1, 4, 16)
# What the validation of port offsets asks for.
STEP = 10


def instances(bench: Bench, names: Sequence[str]) -> list[Row]:
    """Measure a run that changes nothing in the first of 1, 4 and 16 instances, in seconds."""
    if NAME not in names:
        return []
    rows = []
    started: list[Playbooks] = []
    for count in COUNTS:
        for number in range(len(started), count):
            one = Playbooks("dev", f"{INSTANCE}{number or ''}", PORT_OFFSET + STEP * number)
            bench.closing(one.forget)
            bench.closing(one.remove)
            report(f"Starting instance {number + 1} of {max(COUNTS)} ...")
            one.bring("absent")
            one.bring("up")
            started.append(one)
        row = Row(f"{NAME}-{count}", f"second run, {count} instance{'s' if count > 1 else ''} up")
        for number in range(bench.rounds):
            cost = measure(started[0].up)
            row.add(started[0].name, cost)
            report(f"  round {number + 1}: {row.title}: {cost.wall:.1f} s, {cost.cpu:.1f} CPU seconds")
        rows.append(row)
    for one in started:
        one.bring("absent")
    return rows
