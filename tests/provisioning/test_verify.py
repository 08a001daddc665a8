"""The table in SECURITY.md is counted from reports, and nothing that did not run counts as verified."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.by_path import ROOT
from tests.verify import __main__ as verify

FILE, PATTERN = "tests/unit/test_doors.py", "test_closed"
LINE = "Doors that are closed"
CASE = '<testcase classname="unit.test_doors" name="{}">{}</testcase>'
FOUR = '<properties><property name="cases" value="4"/></properties>'


@pytest.fixture(autouse=True)
def _lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "LINES", {LINE: (FILE, PATTERN)})


def counted(folder: Path, *cases: str) -> tuple[int, int]:
    folder.mkdir(exist_ok=True)
    number = len(list(folder.iterdir()))
    (folder / f"junit-{number}.xml").write_text(
        f"<testsuites><testsuite>{''.join(cases)}</testsuite></testsuites>"
    )
    return verify.counted(folder)[LINE]


@pytest.mark.parametrize(
    ("case", "result"),
    [
        (CASE.format("test_closed[front]", ""), (1, 1)),
        (CASE.format("test_closed[front]", "<failure/>"), (0, 1)),
        (CASE.format("test_closed[front]", "<error/>"), (0, 1)),
        (CASE.format("test_closed[front]", "<skipped/>"), (0, 1)),
        (CASE.format("test_closed[all]", FOUR), (4, 4)),
        (CASE.format("test_closed[all]", FOUR + "<failure/>"), (0, 4)),
        (CASE.format("test_open", ""), (0, 0)),
        (CASE.format("test_closed", "").replace("doors", "windows"), (0, 0)),
    ],
)
def test_a_case_counts_once_it_has_passed(tmp_path: Path, case: str, result: tuple[int, int]) -> None:
    assert counted(tmp_path / "reports", case) == result


def test_a_case_that_ran_twice_counts_once_and_has_to_pass_both_times(tmp_path: Path) -> None:
    good, bad = (CASE.format("test_closed", result) for result in ("", "<failure/>"))
    assert counted(tmp_path / "reports", good) == (1, 1)
    assert counted(tmp_path / "reports", good) == (1, 1)
    assert counted(tmp_path / "reports", bad) == (0, 1)


def test_what_a_shard_of_another_run_has_left_does_not_count(tmp_path: Path) -> None:
    good, bad = (CASE.format("test_closed[front]", result) for result in ("", "<failure/>"))
    counted(tmp_path / "reports", good)
    for result in (good, bad):
        counted(tmp_path / "reports/shard-1-of-2", result)
        assert verify.counted(tmp_path / "reports")[LINE] == (1, 1)


def test_no_report_verifies_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.verify", "table", str(tmp_path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (1, "Not everything was verified.\n")


@pytest.mark.parametrize(
    ("longer", "full", "cells"),
    [
        (True, False, ["4 of 4", "20 of 20"]),
        (True, True, ["3 of 3", "4 of 4"]),
        (False, False, ["4 of 4", "the same"]),
        (False, True, ["4 of 4", "the same"]),
    ],
)
def test_a_run_writes_its_own_column(
    monkeypatch: pytest.MonkeyPatch, longer: bool, full: bool, cells: list[str]
) -> None:
    monkeypatch.setattr(verify, "LONGER", {LINE} if longer else set())
    before = verify.table({LINE: ["3 of 3", "20 of 20"]})
    after = verify.merged(
        verify.shown(f"<!-- verify:begin -->\n{before}<!-- verify:end -->"), {LINE: (4, 4)}, full
    )
    assert after == {LINE: cells}
