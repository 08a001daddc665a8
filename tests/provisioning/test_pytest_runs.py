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
        ("tests/unit/ -x", ["-x", "tests/unit"], []),
        ("tests/guard/test_a.py::test_b", [], ["tests/guard/test_a.py::test_b"]),
        ("-x tests/api tests/guard", ["-x", "tests/api"], ["-x", "tests/guard"]),
        ("./tests/unit", ["tests/unit"], []),
        ("tests/api/../unit", ["tests/unit"], []),
        ("CHECKOUT/tests/guard/test_a.py::test_b", [], ["tests/guard/test_a.py::test_b"]),
        ("/app/tests/unit CHECKOUT/tests/unit/", ["tests/unit", "tests/unit"], []),
        ("'tests/guard/test_a.py::test_b[a/../b c]'", [], ["tests/guard/test_a.py::test_b[a/../b c]"]),
        ("-k tests", ["-k", "tests", *CONTAINER], ["-k", "tests", *HOST]),
        ("-n 0 tests/unit", ["-n", "0", "tests/unit"], []),
        ("tests/unit --deselect ./tests/unit/a.py::b", ["--deselect", "unit/a.py::b", "tests/unit"], []),
        ("--deselect=tests/api/a.py tests/api", ["--deselect=api/a.py", "tests/api"], []),
        ("--ignore CHECKOUT/tests/api/a.py tests/api", ["--ignore", "tests/api/a.py", "tests/api"], []),
    ],
)
def test_each_runner_gets_its_own(
    checkout: Path, arguments: str, container: list[str], host: list[str]
) -> None:
    (checkout / "tests/guard/test_a.py").touch()
    runs = plugin.pytest_runs(arguments.replace("CHECKOUT", str(checkout)), str(checkout))
    assert (runs["faults"], runs["container"], runs["host"]) == ([], container, host)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("tests/united", "tests/united is not in tests/unit, tests/integration,"),
        ("-x src", "src is not in tests/unit"),
        ("test_config", "test_config is not in tests/unit"),
        ("/elsewhere/tests/unit", "/elsewhere/tests/unit is not in tests/unit"),
        ("tests/unit --pyargs tests.integration.test_a", "tests.integration.test_a is not in tests/unit"),
        ("tests/unit ./tests/unit/test_b.py::test_c -x", "There is no tests/unit/test_b.py."),
        ("-k 'a", "No closing quotation in the arguments for pytest: -k 'a"),
        ("-k a\\", "No escaped character in the arguments for pytest: -k a\\"),
    ],
)
def test_what_cannot_be_understood_is_said_in_one_line(checkout: Path, arguments: str, said: str) -> None:
    (fault,) = plugin.pytest_runs(arguments, str(checkout))["faults"]
    assert fault.startswith(said)
    assert "\n" not in fault


@pytest.mark.parametrize(
    ("arguments", "whole", "database", "servers"),
    [
        ("", True, True, True),
        ("tests", True, True, True),
        ("-x", False, True, True),
        ("tests/unit", False, False, False),
        ("-k name tests/unit/core/test_config.py::test_a", False, False, False),
        ("tests/unit --deselect tests/smoke/a.py", False, False, False),
        ("./tests/unit", False, False, False),
        ("tests/guard tests/provisioning", False, False, False),
        ("tests/unit tests/integration/test_a.py", False, True, False),
        ("tests/api", False, True, False),
        ("tests/unit tests/smoke", False, True, True),
        ("tests/unit/../integration", False, True, False),
        ("tests/unit /app/tests/integration", False, True, False),
    ],
)
def test_what_the_selected_tests_use(
    checkout: Path, arguments: str, whole: bool, database: bool, servers: bool
) -> None:
    runs = plugin.pytest_runs(arguments, str(checkout))
    assert (runs["whole"], runs["database"], runs["servers"]) == (whole, database, servers)


@pytest.mark.parametrize(
    ("arguments", "coverage"), [("tests/unit", False), ("--cov", True), ("tests/unit --cov=src/core", True)]
)
def test_coverage_that_is_asked_for(checkout: Path, arguments: str, coverage: bool) -> None:
    assert plugin.pytest_runs(arguments, str(checkout))["coverage"] is coverage


@pytest.mark.parametrize("shard", ["3/2", "0/2", "x", "1", "1/2/3", "-1/2", "1 / 2", "2/4 ", "01/2", "1/0"])
def test_a_shard_that_does_not_exist_is_refused_in_one_line(checkout: Path, shard: str) -> None:
    (fault,) = plugin.pytest_runs("", str(checkout), shard)["faults"]
    assert fault == f"There is no shard {shard}. Say which of how many, such as SHARD=2/4."


def test_a_shard_is_a_part_of_both_runners(checkout: Path) -> None:
    whole, runs = (plugin.pytest_runs("", str(checkout), shard) for shard in ("", "2/4"))
    for runner in ("container", "host"):
        options = runs[runner][: -len(whole[runner])]
        assert runs[runner] == options + whole[runner]
        assert {"--group=2", "--splits=4"} <= set(options)
    assert {key: runs[key] for key in ("whole", "database", "servers", "faults")} == {
        key: whole[key] for key in ("whole", "database", "servers", "faults")
    }


def test_a_runner_without_tests_has_no_shard(checkout: Path) -> None:
    assert plugin.pytest_runs("tests/unit", str(checkout), "1/2")["host"] == []


def test_every_folder_of_tests_has_a_runner() -> None:
    folders = {
        f"tests/{path.relative_to(ROOT / 'tests').parts[0]}" for path in ROOT.glob("tests/*/**/test_*.py")
    }
    runs = plugin.pytest_runs("", str(ROOT))
    # The others bring environments of their own up, which takes minutes: a target of the Makefile each.
    targets = set(re.findall(r"tests/pytest\.ini (tests/\w+) ", (ROOT / "tests/targets.mk").read_text()))
    assert folders == targets | {*runs["container"], *runs["host"]}


def test_a_folder_that_is_not_there_is_left_out(checkout: Path) -> None:
    (checkout / "tests/api").rmdir()
    runs = plugin.pytest_runs("", str(checkout))
    assert runs["container"] == ["tests/unit", "tests/integration", "tests/smoke"]
    assert runs["host"] == HOST
    assert runs["whole"]


def test_what_is_deselected_is_what_pytest_then_leaves_out(checkout: Path) -> None:
    (checkout / "tests/pytest.ini").write_text("[pytest]\n")
    (checkout / "tests/unit/test_a.py").write_text("def test_b(): pass\ndef test_c(): pass\n")
    found = plugin.pytest_runs("tests/unit --deselect tests/unit/test_a.py::test_b", str(checkout))
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", "tests/pytest.ini", "-v"]
    run = subprocess.run(
        [*command, *found["container"]], cwd=checkout, capture_output=True, text=True, check=True
    )
    assert re.findall(r"::(\w+) PASSED", run.stdout) == ["test_c"]


def test_every_option_with_a_value_is_one_of_pytests() -> None:
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "tests/pytest.ini"), "--help"]
    described = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    wrong = [name for name in plugin.WITH_VALUE if not re.search(rf"(?<!\S){name}[ =][A-Za-z{{]", described)]
    assert wrong == []


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
