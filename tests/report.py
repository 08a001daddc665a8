"""Put the reports of all shards together: what they came to, whether one is missing, how much is covered.

    python -m tests.report reports/ci

Each shard has left a folder ``shard-2-of-4`` with JUnit's files, pytest's exit code and, where all tests were
selected, the data of its coverage. The exit code is the worst one of the shards, and not 0 either where a
shard is missing (2) or less is covered than the floor in tests/coveragerc (1).
"""

import argparse
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

from coverage import Coverage

from tests.by_path import ROOT, load

SHARD = re.compile(r"shard-(\d+)-of-(\d+)")
# pytest's "no test was collected": an error only if no shard has any.
NO_TESTS = 5


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


class UnusableError(Exception):
    """What is there cannot be put together; the text says why."""


def cases(folder: Path) -> dict[str, float]:
    """Return the ids of the tests that a folder's JUnit files name, each with the seconds it took.

    An id as pytest has it, from the folder of pytest.ini: ``unit/core/test_config.py::test_ports[8000]``.

    One that fails, and then its fixtures as well, has two entries (pytest's junitxml.py, "close_report").
    What broke outside of any test has no file, and no id.

    :raises UnusableError: a test is there twice, or a report is no whole one.
    """
    found: dict[str, float] = {}
    failed: set[str] = set()
    for report in sorted(folder.glob("junit-*.xml")):
        try:
            tree = ElementTree.parse(report)  # noqa: S314 - our own pytest wrote it
        except ElementTree.ParseError as error:
            raise UnusableError(f"{report} is not a complete report: {error}. Run that part again.") from None
        for case in tree.iter("testcase"):
            file, where = case.get("file"), case.attrib["classname"]
            if file is None:
                continue
            # Of a test that Schemathesis wraps, the file is its own.
            file = f"{where.replace('.', '/')}.py" if file.startswith("..") else file
            classes = where.removeprefix(file.removesuffix(".py").replace("/", ".")).replace(".", "::")
            name = f"{file}{classes}::{case.attrib['name']}"
            if name in found and name not in failed:
                raise UnusableError(f"{folder.name} has {name} twice.")
            if case.find("failure") is not None:
                failed.add(name)
            found[name] = found.get(name, 0) + float(case.attrib["time"])
    return found


def shards(folder: Path) -> list[Path]:
    """Return the shards' folders in order.

    :raises UnusableError: there is none, one is missing or has no exit code, or they are of several runs.
    """
    found = {match.groups(): path for path in folder.glob("shard-*") if (match := SHARD.fullmatch(path.name))}
    totals = sorted({int(total) for _, total in found})
    if len(totals) != 1:
        said = f"shards of {' and of '.join(map(str, totals))}" if totals else "no shards"
        raise UnusableError(f"{folder} has {said}. Remove what is old, and run all shards of one number.")
    numbers = range(1, totals[0] + 1)
    missing = [
        f"{number}/{totals[0]}"
        for number in numbers
        if not (folder / f"shard-{number}-of-{totals[0]}" / "exit-code").is_file()
    ]
    if missing:
        named = ", ".join(missing)
        raise UnusableError(f"Missing in {folder}: {named}. A shard that did not end has no result.")
    return [folder / f"shard-{number}-of-{totals[0]}" for number in numbers]


def covered(folder: Path, parts: list[Path]) -> bool:
    """Combine the shards' coverage into coverage.xml; return whether it reaches the floor."""
    data = [part / "coverage.data" for part in parts]
    there = [file for file in data if file.is_file()]
    if not there:
        say("No coverage: only some of the tests were selected.")
        return True
    if len(there) != len(data):
        missing = ", ".join(file.parent.name for file in data if file not in there)
        raise UnusableError(f"No coverage of {missing}, which the others have.")
    coverage = Coverage(data_file=str(folder / "coverage.data"), config_file=str(ROOT / "tests/coveragerc"))
    coverage.combine([str(file) for file in data], strict=True, keep=True)
    coverage.xml_report(outfile=str(folder / "coverage.xml"))
    total = coverage.report(file=sys.stdout)
    floor = float(coverage.get_option("report:fail_under"))
    say(f"Covered: {total:.2f} % of lines and branches, the floor is {floor:g} %.")
    return total >= floor


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.report")
    parser.add_argument("reports", type=Path)
    folder = parser.parse_args().reports
    try:
        parts = shards(folder)
        owner: dict[str, Path] = {}
        for part in parts:
            for name in cases(part):
                if name in owner:
                    raise UnusableError(f"{owner[name].name} and {part.name} both have {name}.")
                owner[name] = part
        enough = covered(folder, parts)
    except UnusableError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    files = [str(file) for part in parts for file in part.glob("junit-*.xml")]
    totals = load("plugins/filter/pytest_runs.py").junit_totals(files)
    codes = {part: int((part / "exit-code").read_text()) for part in parts}
    for part, code in codes.items():
        if code not in (0, NO_TESTS):
            say(f"{part.name}: exit code {code}")
    counts = ", ".join(f"{count} {name}" for name, count in totals.items())
    say(f"{counts} in {len(parts)} shards")
    worst = max((code for code in codes.values() if code != NO_TESTS), default=NO_TESTS)
    return worst or int(not enough)


if __name__ == "__main__":
    sys.exit(main())
