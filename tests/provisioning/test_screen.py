"""What ansible-playbook shows while it runs: in a real terminal, without one, and in CI."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import subprocess
import termios
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.by_path import ROOT
from tests.provisioning import playbook

SLEEP = {"name": "Take a while", "ansible.builtin.command": "sleep 2.6"}
CHANGE = {"name": "Change", "ansible.builtin.set_fact": {"a": 1}, "changed_when": True}
ESCAPE = re.compile(r"\x1b\[(\d*)([A-Za-z])|\x1b\[[\d;]*m")
# What a task of ours does: objects of which one is slow, one tells nothing when it ends, and one fails.
STEPS = """
import time
from ansible.plugins.action import ActionBase
from ansible_collections.dashtam.stack.plugins.module_utils import progress

class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        with progress.step("image", "shop/app", "building", "built") as slow:
            for number in range(1, 5):
                slow.detail(f"Step {number}/4 : RUN \\x1b[32mapt-get")
                time.sleep(float(self._task.args.get("seconds", 0.6)))
        with progress.step("container", "shop-app", "waiting"):
            time.sleep(0.3)
        try:
            with progress.step("network", "shop", "creating", "created"):
                raise OSError
        except OSError:
            pass
        return result | {"changed": True}
"""


def start(folder: Path, tasks: list[dict[str, Any]], **variables: Any) -> str:
    """Write a play and what is beside it; return its path."""
    (folder / "action_plugins").mkdir()
    (folder / "action_plugins/steps.py").write_text(STEPS)
    (folder / "callback_plugins").symlink_to(ROOT / "playbooks/callback_plugins")
    variables |= {"ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    play = {"name": "Play", "hosts": "all", "gather_facts": False, "vars": variables, "tasks": tasks}
    path = folder / "play.yml"
    path.write_text(json.dumps([play]))
    return str(path)


def terminal(path: str, *arguments: str, typed: bytes = b"", code: int = 0, **environment: str) -> str:
    """Run a play in a terminal of 80 columns; return every byte that it was sent."""
    ours, theirs = pty.openpty()
    command = [playbook.COMMAND, *playbook.HERE, path, *arguments]
    settings = {"ANSIBLE_CONFIG": f"{ROOT}/ansible.cfg", "TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    with subprocess.Popen(
        command,
        env=os.environ | settings | environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        # Whoever reads what is typed must be in charge of the terminal.
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    ) as process:
        os.close(theirs)
        limit = threading.Timer(60, process.kill)
        limit.start()
        sent = b""
        with suppress(OSError):  # Linux's way of saying that nobody has the terminal open
            while piece := os.read(ours, 65536):
                sent += piece
                if typed and b"Name" in sent:
                    time.sleep(2)  # for what must not be drawn meanwhile
                    os.write(ours, typed)
                    typed = b""
        limit.cancel()
    os.close(ours)
    assert process.returncode == code, sent.decode()
    return sent.decode()


def left(sent: str) -> list[str]:
    """Return the lines that a terminal shows in the end."""
    lines, row, place = [""], 0, 0
    while place < len(sent):
        if code := ESCAPE.match(sent, place):
            place = code.end()
            if code[2] == "A":
                row -= int(code[1])
            elif code[2] == "J":
                lines[row:] = [""]
            continue
        if sent[place] == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif sent[place] != "\r":
            lines[row] += sent[place]
        place += 1
    return [line for line in lines if line.strip()]


def test_a_terminal_shows_what_is_under_way_and_keeps_what_was_done(tmp_path: Path) -> None:
    sent = terminal(start(tmp_path, [SLEEP, CHANGE, {"name": "Do", "steps": {}}]))
    for shown in (
        r"  Take a while 2 s\r\n",
        r"  image shop/app: building 0 s  Step 1/4 : RUN apt-get\r\n",
        r"  image shop/app: building 2 s  Step 4/4 : RUN apt-get\r\n",
        r"  container shop-app: waiting 0 s\r\n",
    ):
        assert re.search(shown, sent), (shown, sent)
    assert sent.index("Take a while 2 s") < sent.index("Take a while (")
    assert [re.sub(r"\d\.\d s", "N s", line).rstrip() for line in left(sent)] == [
        "changed: [localhost] Take a while (N s)",
        "changed: [localhost] Change",
        "  image shop/app: built (N s)",
        "localhost: ok=3 changed=3 unreachable=0 failed=0",
        "N s, of which N s: Take a while",
    ]


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"CI": "true"}])
def test_lines_are_not_drawn_again_where_nobody_looks(tmp_path: Path, environment: dict[str, str]) -> None:
    sent = terminal(start(tmp_path, [SLEEP, {"name": "Do", "steps": {}}]), ANSIBLE_NOCOLOR="1", **environment)
    assert "\x1b" not in sent
    assert "  image shop/app: built (" in sent
    assert "building" not in sent


def test_no_color_means_lines_that_live_without_colours(tmp_path: Path) -> None:
    sent = terminal(start(tmp_path, [SLEEP]), NO_COLOR="1")
    assert "\x1b[1A" in sent
    assert not re.search(r"\x1b\[[\d;]*m", sent)


def test_v_shows_all_and_each_title_before_its_task(tmp_path: Path) -> None:
    skip = CHANGE | {"name": "Skip", "when": False}
    sent = terminal(start(tmp_path, [SLEEP, skip]), "-v", NO_COLOR="1")
    assert "\x1b" not in sent
    order = [
        "PLAY [Play]",
        "TASK [Take a while]",
        "changed: [localhost] =>",
        "TASK [Skip]",
        "skipping: [",
        "PLAY RECAP",
    ]
    assert sorted(order, key=sent.index) == order


def test_nothing_is_drawn_where_a_person_types(tmp_path: Path) -> None:
    ask = {"name": "Ask", "ansible.builtin.pause": {"prompt": "Name"}, "register": "asked"}
    say = {"name": "Say", "dashtam.stack.say": {"text": "It is {{ asked.user_input }}."}}
    sent = terminal(start(tmp_path, [ask, say]), typed=b"dev\r")
    assert "\x1b[1A" not in sent
    assert "It is dev." in sent


CONFIRM: dict[str, Any] = {
    "name": "Ask",
    "dashtam.stack.confirm": {
        "question": "Name what goes",
        "word": "dev",
        "otherwise": "Nothing was removed",
        "unattended": "make clean LIMIT=dev",
    },
}
REMOVED = {"name": "Say", "dashtam.stack.say": {"text": "It is gone."}}


@pytest.mark.parametrize(
    ("typed", "code", "line"),
    [
        (b"dev\r", 0, "It is gone."),
        (b" dve\r", 2, "localhost: Nothing was removed: 'dev' was not typed."),
        (b"\x03", 2, "localhost: Nothing was removed: the question was interrupted."),
    ],
)
def test_a_word_is_asked_for_in_one_line(tmp_path: Path, typed: bytes, code: int, line: str) -> None:
    sent = terminal(start(tmp_path, [CONFIRM, REMOVED]), typed=typed, code=code, NO_COLOR="1")
    question, *answered = left(sent)
    assert question == "Name what goes:"
    # What was typed is taken off the screen by Ansible, with sequences of its own.
    assert [each for each in answered if each.endswith(line)]
    assert ("It is gone." in sent) == (code == 0)


@pytest.mark.parametrize(("given", "code"), [(None, 2), ("", 2), ("dev", 0)])
def test_without_a_terminal_the_word_is_given_or_the_line_says_how(
    tmp_path: Path, given: str | None, code: int
) -> None:
    arguments = CONFIRM["dashtam.stack.confirm"] | {"given": "{{ answer | default(omit) }}"}
    path = start(tmp_path, [CONFIRM | {"dashtam.stack.confirm": arguments}, REMOVED])
    answer = () if given is None else ("-e", json.dumps({"answer": given}))
    output = playbook.finish(playbook.start(*playbook.HERE, path, *answer, stdin=subprocess.DEVNULL), code)
    advice = " Without a terminal: make clean LIMIT=dev" if given is None else ""
    refusal = f"localhost: Nothing was removed: 'dev' was not typed.{advice}"
    assert output.split("\n\n")[0].strip() == ("It is gone." if code == 0 else refusal)
    assert "WARNING" not in output


def test_without_a_terminal_a_line_breaks_a_silence_of_15_s(tmp_path: Path) -> None:
    path = start(tmp_path, [{"name": "Do", "steps": {"seconds": 4.2}}])
    output = playbook.finish(playbook.start(*playbook.HERE, path))
    assert re.search(r"^  image shop/app: building 1[5-6] s  Step 4/4 : RUN apt-get\n", output), output
    assert output.count("building") == 1


def test_a_failure_of_any_kind_is_no_part_of_an_answer(tmp_path: Path) -> None:
    ignored = {"ansible.builtin.command": "false", "ignore_errors": True}
    loop = {"ansible.builtin.command": "{{ item }}", "loop": ["false", "true"]}
    failing: list[list[dict[str, Any]]] = [[ignored, {"ansible.builtin.command": "false"}], [loop]]
    for number, tasks in enumerate(failing):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = start(folder, [{"name": "Task", **task} for task in tasks], concise_answer_only=True)
        process = playbook.start(*playbook.HERE, path, stderr=subprocess.PIPE)
        output, errors = process.communicate()
        assert process.returncode == 2
        assert output == ""
        assert "FAILED" in errors or "failed" in errors
