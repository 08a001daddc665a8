"""Shows the last complete result in the README.

Usage: python -m benchmarks.readme [--check]

writes what stands between the markers; `--check` exits with 1 where it is out of date.
"""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

from benchmarks import machine, results
from benchmarks.commands import ROOT

README = ROOT / "README.md"
BEGIN = "<!-- Written by benchmarks/readme.py from benchmarks/results/latest.json. -->"
END = "<!-- End of the benchmark's result. -->"


def section() -> str:
    """Return what belongs between the markers."""
    rows, description = results.load()
    rounds = description["rounds"]
    summary = "one round" if rounds == 1 else f"medians of {rounds} rounds"
    where = machine.sentence(description["machine"])
    # For a result that is not one complete run.
    note = f" {description['note']}" if "note" in description else ""
    measured = textwrap.fill(f"Measured on {description['measured']}, {summary}: {where}.{note}", 118)
    return f"{results.table(rows)}\n\n{measured}\n"


def updated(text: str) -> str:
    """Return a README's text with the last result in it.

    :raises ValueError: the markers are missing.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md lacks the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{section()}{END}{after}"


def main(arguments: list[str], path: Path = README) -> int:
    """Write the README, or check it; return the exit code."""
    text = path.read_text(encoding="utf-8")
    if "--check" not in arguments:
        path.write_text(updated(text), encoding="utf-8")
    elif updated(text) != text:
        sys.stderr.write(
            "README.md does not show benchmarks/results/latest.json; run: python -m benchmarks.readme\n"
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
