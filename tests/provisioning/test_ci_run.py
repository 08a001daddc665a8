"""What .ci/run prints of its steps, with programs that stand for those that it calls."""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.by_path import ROOT

RUN = ROOT / ".ci/run"
# All that it looks for, or would install.
PROGRAMS = (
    "git",
    "docker",
    "debootstrap",
    "docker-registry",
    "certutil",
    "crontab",
    "ssh-keygen",
    "chromium",
)
MAKE = """
case $1 in
    lint) seq 100; echo 'it is broken' >&2; exit 3 ;;
    test-check) echo begun; exec sleep 60 ;;
esac
"""
# Asked for pytest's totals, by a program in its standard input.
PYTHON = """
if [ "$1" = - ]; then echo 1 0; fi
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a folder that has .ci/run and none of what it runs."""
    folder = tmp_path / "checkout"
    scripts = dict.fromkeys(("bootstrap", *re.findall(r"\.ci/[a-z-]+", RUN.read_text())), "")
    scripts |= {f"programs/{name}": "" for name in PROGRAMS}
    for name, text in (scripts | {"programs/make": MAKE, ".venv/bin/python": PYTHON}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"#!/bin/sh{text}\n")
        (folder / name).chmod(0o755)
    shutil.copy(RUN, folder / ".ci/run")
    return folder


def start(checkout: Path, *steps: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PATH": f"{checkout / 'programs'}:{os.environ['PATH']}"}
    environment.pop("GITHUB_STEP_SUMMARY", None)
    command = [checkout / ".ci/run", *steps]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_the_end_of_a_failed_step_is_printed_again_before_the_summary(checkout: Path) -> None:
    run = start(checkout, "lint", "generate")
    output, _ = run.communicate(timeout=60)
    assert run.returncode == 1, output
    first, again = output.split("\n=== how lint ended\n")
    assert "\n1\n2\n" in first
    assert "\n100\nit is broken\n=== lint: failed (exit code 3 after " in first
    ended, summary = again.split("\n\n")
    assert ended.splitlines() == [str(number) for number in range(62, 101)] + ["it is broken"]
    took = r"\d+ s, processors \d+ %"
    assert re.search(rf"^passed  generate +{took}$", summary, re.MULTILINE)
    assert re.search(rf"^failed  lint +exit code 3 after {took}$", summary, re.MULTILINE)
    assert summary.endswith("\n4 passed, 1 failed\n")


def test_each_step_runs_once(checkout: Path) -> None:
    (checkout / "programs/make").write_text("#!/bin/sh\n")
    run = start(checkout)
    output, _ = run.communicate(timeout=60)
    assert run.returncode == 0, output
    steps = re.findall(r"^ *step ([a-z-]+) ", RUN.read_text(), re.MULTILINE)
    assert len(steps) > 10
    assert sorted(["packages", *re.findall("^passed  ([a-z-]+) ", output, re.MULTILINE)]) == sorted(steps)


def test_a_signal_ends_a_step_whose_output_has_been_shown_so_far(checkout: Path) -> None:
    run = start(checkout, "check-mode")
    assert run.stdout
    assert any(line == "begun\n" for line in run.stdout)
    run.send_signal(signal.SIGTERM)
    run.communicate(timeout=20)  # as long as one of its programs has the pipe
    assert run.returncode == 130
