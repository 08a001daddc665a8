"""pytest_runs and junit_totals: which runner gets which tests, and what they came to together."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.by_path import ROOT, load

plugin = load("plugins/filter/pytest_runs.py")

CONTAINER = ["tests/unit", "tests/integration", "tests/api", "tests/smoke"]
HOST = ["tests/provisioning", "tests/guard"]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for folder in CONTAINER + HOST:
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "container", "host"),
    [
        ("", CONTAINER, HOST),
        ("tests", CONTAINER, HOST),
        ("tests/", CONTAINER, HOST),
        ("tests/unit tests", CONTAINER, HOST),
        ("-k 'a or b' -x", ["-k", "a or b", "-x", *CONTAINER], ["-k", "a or b", "-x", *HOST]),
        ("tests/unit", ["tests/unit"], []),
        ("tests/unit/ -x", ["-x", "tests/unit/"], []),
        ("tests/guard/test_a.py::test_b", [], ["tests/guard/test_a.py::test_b"]),
        ("-x tests/api tests/guard", ["-x", "tests/api"], ["-x", "tests/guard"]),
        ("tests/united", [], []),
        ("tests/nowhere -x", [], []),
    ],
)
def test_each_runner_gets_its_own(
    checkout: Path, arguments: str, container: list[str], host: list[str]
) -> None:
    assert plugin.pytest_runs(arguments, str(checkout)) == {"container": container, "host": host}


def test_every_folder_of_tests_has_a_runner() -> None:
    folders = {
        f"tests/{path.relative_to(ROOT / 'tests').parts[0]}" for path in ROOT.glob("tests/*/**/test_*.py")
    }
    runs = plugin.pytest_runs("", str(ROOT))
    # The others bring environments of their own up, which takes minutes: a target of the Makefile each.
    targets = set(re.findall(r"tests/pytest\.ini (tests/\w+) ", (ROOT / "Makefile").read_text()))
    assert folders == targets | {folder for run in runs.values() for folder in run}


def test_a_folder_that_is_not_there_is_left_out(checkout: Path) -> None:
    (checkout / "tests/api").rmdir()
    runs = plugin.pytest_runs("", str(checkout))
    assert runs == {"container": ["tests/unit", "tests/integration", "tests/smoke"], "host": HOST}


def test_an_open_quote_is_an_error(checkout: Path) -> None:
    with pytest.raises(ValueError, match="No closing quotation"):
        plugin.pytest_runs("-k 'a", str(checkout))


TESTS = """
import pytest

@pytest.fixture
def broken():
    raise ValueError

def test_passes(): pass
def test_fails(): assert False
def test_errs(broken): pass
def test_is_skipped(): pytest.skip("as it must")
def test_passes_too(): pass
"""


def junit(folder: Path, name: str, *arguments: str) -> str:
    (folder / "test_all.py").write_text(TESTS)
    file = folder / name
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", "/dev/null", *arguments]
    subprocess.run(
        [*command, f"--junitxml={file}", "test_all.py"], cwd=folder, capture_output=True, check=False
    )
    return str(file)


def test_totals_of_what_pytest_writes(tmp_path: Path) -> None:
    files = [junit(tmp_path, "all.xml"), junit(tmp_path, "one.xml", "-k", "too"), str(tmp_path / "none.xml")]
    totals: dict[str, Any] = plugin.junit_totals(files)
    assert totals == {"passed": 3, "failed": 2, "skipped": 1}


def test_totals_of_nothing(tmp_path: Path) -> None:
    assert plugin.junit_totals([str(tmp_path / "none.xml")]) == {"passed": 0, "failed": 0, "skipped": 0}
