"""say, stream_exec and exit_code, each in a real ansible-playbook run with the project's ansible.cfg."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
COMMAND = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", "-c", "local"]


def write(folder: Path, tasks: list[dict[str, Any]]) -> str:
    path = folder / "play.yml"
    path.write_text(json.dumps([{"name": "Play", "hosts": "all", "gather_facts": False, "tasks": tasks}]))
    return str(path)


def play(folder: Path, tasks: list[dict[str, Any]], *options: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *options, write(folder, tasks)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def record(code: int | str) -> dict[str, Any]:
    return {
        "name": "Record",
        "ansible.builtin.set_stats": {"data": {"process_exit_code": code}, "aggregate": False},
    }


@pytest.mark.parametrize("options", [(), ("--check",)])
def test_say_prints_its_text_as_it_is_and_nothing_else(tmp_path: Path, options: tuple[str, ...]) -> None:
    text = ['curl "https://localhost:8000/ready"', "", r"  a\b {{ 1 + 1 }} ü"]
    run = play(tmp_path, [{"name": "Tell", "say": {"text": text}}], *options)
    assert run.returncode == 0
    shown = run.stdout.split("\n\nPLAY RECAP")[0].splitlines()[2:]
    assert shown == ['curl "https://localhost:8000/ready"', "", r"  a\b 2 ü"]


@pytest.mark.parametrize("code", [0, 1, 4, 5, 137])
def test_the_recorded_code_becomes_the_exit_code_after_the_recap(tmp_path: Path, code: int) -> None:
    run = play(tmp_path, [record(code)])
    assert run.returncode == code
    assert "PLAY RECAP" in run.stdout
    assert "ERROR" not in run.stdout + run.stderr


@pytest.mark.parametrize(
    "broken",
    [
        {"name": "Fail", "ansible.builtin.fail": {"msg": "no"}},
        {
            "name": "Reach",
            "ansible.builtin.command": "true",
            "vars": {"ansible_connection": "ssh", "ansible_port": 1},
        },
    ],
    ids=["failed", "unreachable"],
)
def test_a_failure_of_ansible_keeps_its_own_code(tmp_path: Path, broken: dict[str, Any]) -> None:
    expected = play(tmp_path, [broken]).returncode
    assert expected in {2, 4}
    assert play(tmp_path, [record(1), broken]).returncode == expected


def test_a_red_run_on_one_host_is_not_hidden_by_a_green_one_on_another(tmp_path: Path) -> None:
    task = record("{{ {'red': 1, 'green': 0}[inventory_hostname] }}")
    task["ansible.builtin.set_stats"]["per_host"] = True
    for hosts in ("red,green", "green,red"):
        assert play(tmp_path, [task], "-i", f"{hosts},", "--limit", "red,green").returncode == 1


def test_a_rescued_failure_does_not_hide_the_recorded_code(tmp_path: Path) -> None:
    block = {"block": [{"name": "Fail", "ansible.builtin.fail": {"msg": "no"}}], "rescue": [record(3)]}
    assert play(tmp_path, [block]).returncode == 3


def test_output_appears_while_the_command_runs_also_in_a_pipe(tmp_path: Path) -> None:
    tasks = [
        {"name": "Run", "stream_exec": {"command": ["sh", "-c", "echo first; sleep 2; echo second; exit 5"]}}
    ]
    command = [*COMMAND, write(tmp_path, tasks)]
    seen = {}
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            seen[line.strip()] = time.monotonic()
    assert seen["second"] - seen["first"] > 1.5
    assert process.returncode == 0, "a command's own code is the caller's to judge"


def test_a_command_gets_its_environment_folder_and_gives_its_code(tmp_path: Path) -> None:
    script = "pwd; echo $GREETING; printf 'no end of line'; kill -TERM $$"
    tasks = [
        {
            "name": "Run",
            "stream_exec": {
                "command": ["sh", "-c", script],
                "env": {"GREETING": 7},
                "workdir": str(tmp_path),
            },
            "register": "run",
        },
        {"name": "Show", "say": {"text": "code {{ run.rc }}"}},
    ]
    shown = play(tmp_path, tasks).stdout.splitlines()
    assert [line for line in (str(tmp_path), "7", "no end of line", "code 143") if line not in shown] == []


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"command": ["/nowhere/at-all"]}, "cannot run /nowhere/at-all"),
        ({"command": []}, "command must name a program"),
        ({"command": ["true"], "env": {"FLAG": True}}, "FLAG must be text or a number, quote it"),
        ({"command": ["true"], "user": "postgres"}, "fetch and user need a container"),
    ],
)
def test_what_cannot_be_started_is_said_in_one_line(
    tmp_path: Path, options: dict[str, Any], complaint: str
) -> None:
    run = play(tmp_path, [{"name": "Run", "stream_exec": options}])
    assert run.returncode == 2
    assert complaint in run.stdout + run.stderr


def test_check_mode_runs_nothing(tmp_path: Path) -> None:
    play(
        tmp_path, [{"name": "Run", "stream_exec": {"command": ["touch", str(tmp_path / "made")]}}], "--check"
    )
    assert not (tmp_path / "made").exists()


def test_an_interrupt_reaches_the_command(tmp_path: Path) -> None:
    script = f"trap 'touch {tmp_path}/interrupted; exit 1' INT; echo started; while :; do sleep 0.1; done"
    command = [*COMMAND, write(tmp_path, [{"name": "Run", "stream_exec": {"command": ["sh", "-c", script]}}])]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == "started":
                os.kill(process.pid, signal.SIGINT)
    assert process.returncode == 99
    assert (tmp_path / "interrupted").exists()
