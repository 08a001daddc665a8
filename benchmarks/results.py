"""Results: rows of samples, their medians and ratios, as JSON and as a table."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.commands import Cost

LATEST = Path(__file__).with_name("results") / "latest.json"
OURS, COMPOSE, FLOOR = "ours", "compose", "floor"
HEADINGS = ("", "docker compose", "this project", "ratio", "CPU of the clients", "bare `docker run`")


@dataclass
class Row:
    """One thing that was measured.

    :param name: how `--only` and the JSON file call it.
    :param title: what it is, for a table.
    :param unit: unit of ``values``: ``s``, ``MiB`` or ``cores``.
    :param values: who (``ours``, ``compose``, ``floor``) to one value per round.
    :param cpu: who to the CPU seconds of the client, one per round; empty where it does not apply.
    """

    name: str
    title: str
    unit: str = "s"
    values: dict[str, list[float]] = field(default_factory=dict)
    cpu: dict[str, list[float]] = field(default_factory=dict)

    def add(self, who: str, cost: Cost) -> None:
        """Add what one round took."""
        self.values.setdefault(who, []).append(round(cost.wall, 3))
        self.cpu.setdefault(who, []).append(round(cost.cpu, 3))

    def median(self, who: str) -> float | None:
        """Return the median of the values, in the row's unit, or None where there are none."""
        return statistics.median(self.values[who]) if self.values.get(who) else None

    def cpu_median(self, who: str) -> float | None:
        """Return the median of the CPU seconds, or None where there are none."""
        return statistics.median(self.cpu[who]) if self.cpu.get(who) else None

    @property
    def ratio(self) -> float | None:
        """Ours divided by compose, of the medians; None where a difference of two windows is not positive."""
        ours, compose = self.median(OURS), self.median(COMPOSE)
        return ours / compose if ours and compose and min(ours, compose) > 0 else None


def _shown(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    digits = {"s": 1, "MiB": 0, "cores": 3}[unit]
    return f"{value:.{digits}f} {unit}"


def cells(row: Row) -> tuple[str, ...]:
    """Return a row's cells, as many as there are headings."""
    used = [_shown(row.cpu_median(who), "s") for who in (COMPOSE, OURS)]
    return (
        row.title,
        _shown(row.median(COMPOSE), row.unit),
        _shown(row.median(OURS), row.unit),
        "" if row.ratio is None else f"{row.ratio:.2f}x",
        ", ".join(value for value in used if value),
        _shown(row.median(FLOOR), row.unit),
    )


def table(rows: Iterable[Row]) -> str:
    """Return a Markdown table of medians and ratios, its columns aligned for a terminal."""
    lines = [HEADINGS, *map(cells, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    padded = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in lines
    ]
    return "\n".join([padded[0], rule, *padded[1:]])


def save(path: Path, rows: Iterable[Row], description: dict[str, Any]) -> None:
    """Write rows and what describes them as JSON."""
    content = {
        **description,
        "measurements": [
            {**asdict(row), "ratio": None if row.ratio is None else round(row.ratio, 3)} for row in rows
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def load(path: Path = LATEST) -> tuple[list[Row], dict[str, Any]]:
    """Return the rows of a file and what describes them."""
    content = json.loads(path.read_text(encoding="utf-8"))
    rows = [
        Row(**{key: value for key, value in measured.items() if key != "ratio"})
        for measured in content.pop("measurements")
    ]
    return rows, content
