"""docs/first-hour.md, which .ci/first-hour writes on a bare machine: what it shows is still there."""

from __future__ import annotations

import re
import runpy

import pytest

from tests.by_path import ROOT

WRITER = runpy.run_path(str(ROOT / ".ci/first-hour"))
TEXT = WRITER["DOCUMENT"].read_text(encoding="utf-8")
MADE_BY = [ROOT / "Makefile", *ROOT.glob("playbooks/*.mk"), ROOT / "tests/targets.mk"]
TARGETS = set(
    " ".join(
        re.findall(r"^([a-z][a-z -]*):(?!=)", "".join(path.read_text() for path in MADE_BY), re.MULTILINE)
    ).split()
)


def test_its_commands_exist_and_each_was_run() -> None:
    blocks = [block["text"] for block in WRITER["BLOCK"].finditer(TEXT)]
    commands = [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    used = [target for command in commands for target in re.findall(r"\bmake ([a-z-]+)", command)]
    assert {"dev", "status", "open", "test", "snapshot", "ls", "doctor", "drift", "clean"} <= set(used)
    assert set(used) <= TARGETS
    for target in {"dev", "status", "test", "ls", "clean"}:
        assert re.search(rf"^\$ make {target}\b.*\n[^$]", TEXT, re.MULTILINE), f"make {target} shows nothing"


def test_it_has_no_line_that_nobody_wants() -> None:
    assert WRITER["UNWANTED"].findall(TEXT) == []
    assert [found for secret, _ in WRITER["MASKED"] for found in secret.findall(TEXT)] == []


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("one\r\ntwo\r\n", ["one", "two", ""]),
        ("10 %\r100 %\r\n", ["100 %", ""]),
        ("built\r\n  waiting 1 s\r\n\x1b[1A\r\x1b[Jready\r\n", ["built", "ready", ""]),
        ("\x1b[?2004hdone\x1b[0m, all of it\x1b[3D\x1b[K", ["done, all of it"]),
        ("long line\rx\x1b[K\r\n", ["x", ""]),
        # As Ansible ends its questions.
        ("dev^M\x1b[\r\x1b[\x1b[KIt is gone.", ["It is gone."]),
    ],
)
def test_what_a_terminal_shows_is_what_stays_on_it(sent: str, shown: list[str]) -> None:
    assert WRITER["screen"](sent) == shown
