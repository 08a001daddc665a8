"""Shards: each test is in one of them, a file is in one where possible, and they take about as long."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from itertools import chain
from pathlib import Path
from types import SimpleNamespace

import pytest
from pytest_split.algorithms import DurationBasedChunksAlgorithm

from tests import report
from tests.by_path import ROOT, load
from tests.provisioning import playbook

plugin = load("plugins/filter/pytest_runs.py")
DURATIONS = json.loads((ROOT / plugin.DURATIONS).read_text(encoding="utf-8"))
FOLDERS = {"container": plugin.CONTAINER, "host": plugin.HOST}
RUNNERS = pytest.mark.parametrize("runner", FOLDERS)


def split(runner: str, of: int) -> list[list[str]]:
    """Return the ids in each shard, as pytest-split chooses them."""
    folders = tuple(f"{folder.removeprefix('tests/')}/" for folder in FOLDERS[runner])
    tests = [SimpleNamespace(nodeid=name) for name in DURATIONS if name.startswith(folders)]
    shards = DurationBasedChunksAlgorithm()(of, tests, DURATIONS)
    return [[test.nodeid for test in shard.selected] for shard in shards]


@RUNNERS
def test_at_most_one_file_is_in_both_of_two_shards(runner: str) -> None:
    first, second = ({name.split("::")[0] for name in shard} for shard in split(runner, 2))
    assert len(first | second) > 20
    assert len(first & second) <= 1


@RUNNERS
def test_the_longest_of_four_shards_takes_at_most_a_quarter_more_than_the_mean(runner: str) -> None:
    times = [sum(DURATIONS[name] for name in shard) for shard in split(runner, 4)]
    assert max(times) <= 1.25 * sum(times) / len(times)


def test_each_test_runs_in_one_shard(tmp_path: Path) -> None:
    (tmp_path / "tests/unit").mkdir(parents=True)
    (tmp_path / "tests/pytest.ini").write_text("[pytest]\naddopts = --disable-plugin-autoload\n")
    (tmp_path / plugin.DURATIONS).write_text('{"unit/test_a.py::test_0": 9, "unit/test_a.py::test_1": 1}')
    for file in ("a", "b"):
        text = "".join(f"def test_{number}(): pass\n" for number in range(5))
        (tmp_path / f"tests/unit/test_{file}.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", "tests/pytest.ini", "-v"]
    ran = []
    for shard in ("1/3", "2/3", "3/3"):
        words = plugin.pytest_runs("", str(tmp_path), shard)["container"]
        words = [word.replace("=/app/", "=") for word in words]
        run = subprocess.run([*command, *words], cwd=tmp_path, capture_output=True, text=True, check=False)
        ran.append(re.findall(r"test_(\w)\.py::test_(\d) PASSED", run.stdout))
    assert sorted(chain.from_iterable(ran)) == [(file, str(number)) for file in "ab" for number in range(5)]
    assert all(ran)


def test_the_durations_are_of_tests_that_there_are() -> None:
    """Or a shard would be made by guesses."""
    files = {name.split("::")[0] for name in DURATIONS}
    known = {
        str(path.relative_to(ROOT / "tests"))
        for folder in chain(*FOLDERS.values())
        for path in (ROOT / folder).rglob("test_*.py")
    }
    assert len(files & known) > 0.9 * max(len(files), len(known))


def test_shards_down_leaves_the_reports_here(tmp_path: Path) -> None:
    kept = tmp_path / "reports/ci/shard-1-of-1/exit-code"
    kept.parent.mkdir(parents=True)
    kept.write_text("0\n")
    hosts = tmp_path / "hosts.yml"
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    hosts.write_text(json.dumps({"shards": {"hosts": {"here": here}}}))
    where = ["-e", f"shards_checkout={tmp_path}", "-e", f"shards_folder={tmp_path}/none"]
    run = playbook.start("-i", str(hosts), "playbooks/shards.yml", "-e", "shards_state=absent", *where)
    playbook.finish(run)
    assert kept.is_file()


SUITE = '<testsuite tests="{tests}" failures="{failures}" errors="0" skipped="0">{cases}</testsuite>'
JUNIT = f"<testsuites>{SUITE}</testsuites>"
CASE = '<testcase classname="unit.test_a" name="{}" file="unit/test_a.py" time="0.1" />'


def add_shard(folder: Path, number: int, *tests: str, of: int = 2, code: int | None = 0) -> None:
    shard = folder / f"shard-{number}-of-{of}"
    shard.mkdir()
    text = JUNIT.format(tests=len(tests), failures=int(code == 1), cases="".join(map(CASE.format, tests)))
    (shard / "junit-container.xml").write_text(text)
    if code is not None:
        (shard / "exit-code").write_text(f"{code}\n")


def make_report(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.report", str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("codes", "code"), [((0, 0), 0), ((0, 1), 1), ((2, 1), 2), ((5, 0), 0), ((5, 5), 5)])
def test_the_worst_exit_code_comes_out(tmp_path: Path, codes: tuple[int, int], code: int) -> None:
    for number, each in enumerate(codes, 1):
        add_shard(tmp_path, number, f"test_{number}", code=each)
    run = make_report(tmp_path)
    assert run.returncode == code, run.stderr
    failed = codes.count(1)
    assert run.stdout.endswith(f"{2 - failed} passed, {failed} failed, 0 skipped in 2 shards\n")


def test_a_shard_that_is_missing_or_did_not_end_is_named(tmp_path: Path) -> None:
    add_shard(tmp_path, 2, "test_b", of=3)
    add_shard(tmp_path, 3, "test_c", of=3, code=None)
    run = make_report(tmp_path)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == f"Missing in {tmp_path}: 1/3, 3/3. A shard that did not end has no result.\n"


def test_a_test_in_two_shards_is_named(tmp_path: Path) -> None:
    add_shard(tmp_path, 1, "test_a", "test_b")
    add_shard(tmp_path, 2, "test_b")
    run = make_report(tmp_path)
    assert run.returncode == 2
    assert run.stderr == "shard-1-of-2 and shard-2-of-2 both have unit/test_a.py::test_b.\n"


def test_shards_of_two_runs_are_refused(tmp_path: Path) -> None:
    add_shard(tmp_path, 1, "test_a", of=2)
    add_shard(tmp_path, 1, "test_a", of=4)
    assert "shards of 2 and of 4. Remove what is old" in make_report(tmp_path).stderr
    assert "no shards" in make_report(tmp_path / "shard-1-of-2").stderr


def test_coverage_that_one_shard_lacks_is_named(tmp_path: Path) -> None:
    for number in (1, 2):
        add_shard(tmp_path, number, f"test_{number}")
    (tmp_path / "shard-2-of-2/coverage.data").touch()
    assert make_report(tmp_path).stderr == "No coverage of shard-1-of-2, which the others have.\n"


def test_classes_and_parameters_are_part_of_an_id(tmp_path: Path) -> None:
    text = '<testcase classname="a.test_b.TestC" name="test_d[1.5::x]" file="a/test_b.py" time="0.25" />'
    (tmp_path / "junit-host.xml").write_text(JUNIT.format(tests=1, failures=0, cases=text))
    assert report.cases(tmp_path) == {"a/test_b.py::TestC::test_d[1.5::x]": 0.25}


BROKEN = """
import pytest

@pytest.fixture
def service():
    yield
    raise RuntimeError("it does not stop")

def test_both(service):
    assert False

def test_good():
    pass
"""


@pytest.mark.parametrize("plugin_of_its_own", ["", "def pytest_collection():\n    raise RuntimeError\n"])
def test_what_pytest_itself_reports_of_a_failure_is_put_together(
    tmp_path: Path, plugin_of_its_own: str
) -> None:
    """A test that fails together with its fixture, and an error of pytest's own, which belongs to no test."""
    shard = tmp_path / "shard-1-of-1"
    (tmp_path / "test_a.py").write_text(BROKEN)
    (tmp_path / "conftest.py").write_text(plugin_of_its_own)
    (tmp_path / "pytest.ini").write_text("[pytest]\njunit_family = xunit1\n")
    shard.mkdir()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "pytest.ini"]
    command.append(f"--junitxml={shard}/junit-host.xml")
    code = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode
    (shard / "exit-code").write_text(f"{code}\n")
    run = make_report(tmp_path)
    assert (run.returncode, run.stderr) == (code, "")
    assert f"shard-1-of-1: exit code {code}\n" in run.stdout


def test_a_report_that_was_cut_is_named(tmp_path: Path) -> None:
    add_shard(tmp_path, 1, "test_a", of=1)
    path = tmp_path / "shard-1-of-1/junit-container.xml"
    path.write_text(path.read_text()[:-20])
    run = make_report(tmp_path)
    assert run.returncode == 2
    assert run.stderr.startswith(f"{path} is not a complete report: ")
    assert run.stderr.count("\n") == 1
