"""say, stream_exec and exit_code, each in a real ansible-playbook run with the project's ansible.cfg."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.by_path import ROOT
from tests.provisioning import playbook

TEXT = ['curl "https://localhost:8000/ready"', "", r"  a\b {{ 1 + 1 }} ü"]
TELL = {"name": "Tell", "dashtam.stack.say": {"text": TEXT}}
FAIL = {"name": "Fail", "ansible.builtin.fail": {"msg": "no"}}


def run(options: dict[str, Any]) -> dict[str, Any]:
    return {"name": "Run", "dashtam.stack.stream_exec": options}


def beside(folder: Path) -> None:
    """Put what is beside the project's playbooks beside a test's own."""
    (folder / "callback_plugins").symlink_to(ROOT / "playbooks/callback_plugins")


def start(
    folder: Path, tasks: list[dict[str, Any]], *arguments: str, **environment: str
) -> subprocess.Popen[str]:
    path = folder / "play.yml"
    path.write_text(json.dumps([{"name": "Play", "hosts": "all", "gather_facts": False, "tasks": tasks}]))
    beside(folder)
    return playbook.start(*playbook.HERE, str(path), *arguments, **environment)


def play(
    folder: Path, tasks: list[dict[str, Any]], *arguments: str, code: int = 0, **environment: str
) -> str:
    return playbook.finish(start(folder, tasks, *arguments, **environment), code)


def end(code: int | str) -> dict[str, Any]:
    return {"name": "End", "dashtam.stack.exit_code": {"code": code}}


def shown(output: str) -> list[str]:
    """What a play printed besides the recap."""
    return output.split("\n\nlocalhost: ok=")[0].splitlines()


@pytest.mark.parametrize("code", [0, 4, 137])
def test_the_text_is_printed_as_it_is_and_the_plays_code_becomes_the_exit_code(
    tmp_path: Path, code: int
) -> None:
    output = play(tmp_path, [TELL, end(code)], code=code)
    assert shown(output) == ['curl "https://localhost:8000/ready"', "", r"  a\b 2 ü"]
    assert re.search(r"\nlocalhost: ok=\d changed=0 unreachable=0 failed=[01]\n", output)
    assert not re.search("ERROR|PLAY|TASK", output)


def test_an_answer_alone_is_printed_for_programs_and_a_failure_too(tmp_path: Path) -> None:
    change = {"name": "Change", "ansible.builtin.set_fact": {"a": 1}, "changed_when": True}
    more = tmp_path / "more.yml"
    more.write_text(json.dumps([change, change | {"loop": [1, 2]}]))
    include = {"name": "More", "ansible.builtin.include_tasks": str(more)}
    alone = {"name": "Alone", "hosts": "all", "gather_facts": False, "vars": {"concise_answer_only": True}}
    path = tmp_path / "alone.yml"
    beside(tmp_path)
    for tasks, code, said in (
        ([change, include, TELL, end(3)], 3, ['curl "https://localhost:8000/ready"', "", r"  a\b 2 ü"]),
        ([FAIL], 2, ["", "localhost: no"]),
    ):
        path.write_text(json.dumps([alone | {"tasks": tasks}]))
        output = playbook.finish(playbook.start(*playbook.HERE, str(path)), code)
        assert output.splitlines() == said


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        ((), {"ANSIBLE_CALLBACKS_ENABLED": "profile_tasks"}),
        ((), {"ANSIBLE_CALLBACKS_ENABLED": "junit", "JUNIT_OUTPUT_DIR": "junit"}),
        ((), {"ANSIBLE_CALLBACKS_ENABLED": "dashtam.stack.exit_code"}),
        ((), {"ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.minimal"}),
        ((), {"ANSIBLE_CONFIG": "settings-of-another-project.cfg"}),
        ((), {"ANSIBLE_CALLBACK_PLUGINS": "/nowhere"}),
        (("-vvv",), {}),
    ],
)
def test_no_setting_of_the_callers_loses_the_code(
    tmp_path: Path, arguments: tuple[str, ...], environment: dict[str, str]
) -> None:
    if "JUNIT_OUTPUT_DIR" in environment:
        environment["JUNIT_OUTPUT_DIR"] = str(tmp_path)
    playbook.finish(start(tmp_path, [end(3)], *arguments, **environment), 3)


def test_other_callbacks_see_the_end_of_a_run(tmp_path: Path) -> None:
    process = start(tmp_path, [end(3)], ANSIBLE_CALLBACKS_ENABLED="profile_tasks")
    assert re.search(r"^End -+ [\d.]+s$", playbook.finish(process, 3), re.MULTILINE)


def test_without_the_callback_the_play_fails_all_the_same(tmp_path: Path) -> None:
    alone = {"name": "Play", "hosts": "all", "gather_facts": False, "tasks": [end(3)]}
    output = playbook.finish(playbook.start_alone(tmp_path, json.dumps([alone])), 2)
    assert "The exit code is 3." in output


def test_check_mode_prints_and_ends_but_runs_nothing(tmp_path: Path) -> None:
    touch = run({"command": ["touch", str(tmp_path / "made")]})
    output = play(tmp_path, [touch, TELL, end(5)], "--check", code=5)
    assert shown(output) == ['curl "https://localhost:8000/ready"', "", r"  a\b 2 ü"]
    assert not (tmp_path / "made").exists()


def test_a_failure_of_ansible_keeps_its_own_code(tmp_path: Path) -> None:
    tasks = [FAIL | {"when": "inventory_hostname == 'a'"}, end(1)]
    play(tmp_path, tasks, "-i", "a,b,", "--limit", "!localhost", code=2)


def test_an_unreachable_host_keeps_ansibles_code(tmp_path: Path) -> None:
    # What ssh exits with when it cannot connect; a machine may have no ssh of its own.
    ssh = tmp_path / "ssh"
    ssh.write_text("#!/bin/sh\nexit 255\n")
    ssh.chmod(0o755)
    unreachable = {"ansible_connection": "ssh", "ansible_ssh_executable": str(ssh)}
    broken = {"name": "Reach", "ansible.builtin.command": "true", "vars": unreachable}
    tasks = [broken | {"when": "inventory_hostname == 'a'"}, end(1)]
    play(tmp_path, tasks, "-i", "a,b,", "--limit", "!localhost", code=4)


def test_a_red_run_on_one_host_is_not_hidden_by_a_green_one_on_another(tmp_path: Path) -> None:
    task = end("{{ {'red': 1, 'redder': 5}[inventory_hostname] | default(0) }}")
    play(tmp_path, [task], "-i", "before,red,redder,after,", "--limit", "!localhost", code=5)


def test_a_rescued_failure_does_not_hide_the_code(tmp_path: Path) -> None:
    play(tmp_path, [{"block": [FAIL], "rescue": [end(3)]}], code=3)


def test_a_censored_failure_is_said_by_its_rescue_alone(tmp_path: Path) -> None:
    secret = FAIL | {"no_log": True}
    alone, rescued = tmp_path / "alone", tmp_path / "rescued"
    alone.mkdir()
    rescued.mkdir()
    output = play(rescued, [{"name": "Try", "block": [secret], "rescue": [TELL, FAIL]}], code=2)
    assert "censored" not in output
    assert "localhost: no" in output
    assert "censored" in play(alone, [secret], code=2)


def test_a_rescued_failure_is_its_reason_and_the_end_of_what_was_written(tmp_path: Path) -> None:
    script = "echo begun; seq 20 >&2; exit 3"
    broken = {"name": "Seed", "ansible.builtin.command": {"argv": ["sh", "-c", script]}}
    undefined = {"name": "Look", "ansible.builtin.debug": {"msg": "{{ nowhere }}"}}
    loop = {"name": "Each", "ansible.builtin.command": "ls /nowhere/{{ item }}", "loop": ["a", "b"]}
    more = tmp_path / "more.yml"
    more.write_text(json.dumps([loop]))
    include = {"name": "More", "ansible.builtin.include_tasks": str(more)}
    python = ("-e", "ansible_python_interpreter={{ ansible_playbook_python }}")
    tries = [
        {"name": "Try", "block": [task], "rescue": [TELL]} for task in (broken, FAIL, undefined, include)
    ]
    output = play(tmp_path, tries, *python)
    lines = [f"  {number}" for number in range(11, 21)]
    told = "\n".join(TEXT).replace("{{ 1 + 1 }}", "2")
    failed, refused, looked, each, rest = output.split(f"{told}\n")
    assert failed.splitlines() == ["", "localhost: Seed: non-zero return code", *lines]
    assert refused == "\nlocalhost: no\n"
    assert re.fullmatch(r"\nlocalhost: Look: .*'nowhere' is undefined\n", looked)
    assert re.findall("^  ls: .*$", each, re.MULTILINE) == [
        f"  ls: cannot access '/nowhere/{name}': No such file or directory" for name in "ab"
    ]
    assert rest.startswith("\nlocalhost: ok=")
    assert not re.search(r"ERROR|Origin|fatal:|failed: \[", output)
    # All of it at -v.
    again = tmp_path / "again"
    again.mkdir()
    assert "stderr_lines" in play(again, tries, *python, "-v")


def test_what_fails_in_a_rescue_is_a_failure_like_any_other(tmp_path: Path) -> None:
    secret = FAIL | {"no_log": True}
    assert "censored" in play(tmp_path, [{"block": [FAIL], "rescue": [secret]}], code=2)


def test_a_code_for_all_hosts_of_a_play(tmp_path: Path) -> None:
    play(tmp_path, [end(3) | {"run_once": True}], "-i", "a,b,", "--limit", "!localhost", code=3)


def test_output_appears_while_the_command_runs_also_in_a_pipe(tmp_path: Path) -> None:
    script = "pwd; echo $GREETING; sleep 2; printf 'no end of line'; kill -TERM $$"
    options = {"command": ["sh", "-c", script], "env": {"GREETING": 7}, "workdir": str(tmp_path)}
    tasks = [
        run(options) | {"register": "run"},
        {"name": "Show", "dashtam.stack.say": {"text": "code {{ run.rc }}"}},
    ]
    seen = {}
    with start(tmp_path, tasks) as process:
        assert process.stdout is not None
        for line in process.stdout:
            seen[line.strip()] = time.monotonic()
    lines = [str(tmp_path), "7", "no end of line", "code 143"]
    assert [line for line in seen if line in lines] == lines
    assert seen["no end of line"] - seen["7"] > 1.5
    assert process.returncode == 0, "a command's own code is the caller's to judge"


def test_what_cannot_be_started_is_said_in_one_line(tmp_path: Path) -> None:
    complaints: list[tuple[dict[str, Any], str]] = [
        ({"command": ["/nowhere/at-all"]}, "cannot run /nowhere/at-all"),
        ({"command": []}, "command must name a program"),
        ({"command": ["true"], "env": {"FLAG": True}}, "FLAG must be text or a number, quote it"),
        ({"command": ["true"], "fetch": {"/a": "b"}}, "fetch needs a container"),
    ]
    tasks = [
        {
            "block": [run(options)],
            "rescue": [{"name": "Show", "dashtam.stack.say": {"text": f"refused {number}"}}],
        }
        for number, (options, _) in enumerate(complaints)
    ]
    output = play(tmp_path, tasks)
    for number, (_, complaint) in enumerate(complaints):
        before, output = output.split(f"\nrefused {number}\n")
        assert complaint in before


def test_an_interrupt_reaches_the_command(tmp_path: Path) -> None:
    script = f"trap 'touch {tmp_path}/interrupted; exit 1' INT; echo started; while :; do sleep 0.1; done"
    with start(tmp_path, [run({"command": ["sh", "-c", script]})]) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == "started":
                os.kill(process.pid, signal.SIGINT)
    assert process.returncode == 99
    assert (tmp_path / "interrupted").exists()


def test_lines_and_recap_call_a_host_by_its_label(tmp_path: Path) -> None:
    name = {"name": "Name", "ansible.builtin.set_fact": {"instance": "second"}, "changed_when": True}
    label = ("-e", json.dumps({"concise_label": "{{ instance | default('first') }}-dev"}))
    output = play(tmp_path, [FAIL | {"ignore_errors": True}, name, FAIL], *label, code=2)
    assert "fatal: [first-dev]" in output
    assert "changed: [second-dev] Name\n" in output
    assert "\nsecond-dev: no\n" in output
    assert re.search(r"^second-dev: ok=2 changed=1 unreachable=0 failed=1 ignored=1$", output, re.MULTILINE)
    assert "localhost" not in output


def test_what_is_said_is_in_the_result_for_other_callbacks(tmp_path: Path) -> None:
    tell = TELL | {"loop": [1, 2]}
    parsed = json.loads(play(tmp_path, [TELL, tell], ANSIBLE_STDOUT_CALLBACK="ansible.posix.json"))
    once, twice = (task["hosts"]["localhost"] for task in parsed["plays"][0]["tasks"])
    text = "\n".join(['curl "https://localhost:8000/ready"', "", r"  a\b 2 ü"])
    assert [once["msg"], *(result["msg"] for result in twice["results"])] == [text] * 3


@pytest.mark.parametrize(("code", "more"), [(0, []), (3, []), (0, ["-v"])])
def test_a_quiet_command_is_shown_at_v_or_if_it_fails(tmp_path: Path, code: int, more: list[str]) -> None:
    script = f"echo one; echo two >&2; printf three; exit {code}"
    output = play(tmp_path, [run({"command": ["sh", "-c", script], "quiet": True})], *more)
    lines = [line for line in output.splitlines() if line in ("one", "two", "three")]
    assert sorted(lines) == (["one", "three", "two"] if code or more else [])


def test_a_censored_loop_is_a_line_without_items(tmp_path: Path) -> None:
    loop = {"no_log": True, "loop": [1, 2]}
    change = {"name": "Change", "ansible.builtin.set_fact": {"a": 1}, "changed_when": True}
    rescued = {"name": "Try", "block": [FAIL | loop], "rescue": [TELL]}
    output = play(tmp_path, [change | loop, rescued])
    assert shown(output)[0] == "changed: [localhost] Change"
    assert output.count("changed: [localhost]") == 1
    assert "censored" not in output
