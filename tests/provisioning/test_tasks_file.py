"""A person's own tasks: a file that is broken is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.provisioning import playbook

GOOD = """
- name: Say
  ansible.builtin.debug: {msg: "{{ 'from the file' | upper }}"}
- name: Both
  block:
    - name: One
      ansible.builtin.debug: {msg: one}
      when: false
  rescue:
    - name: Include
      ansible.builtin.include_tasks: more.yml
"""


def check(folder: Path, *texts: str, code: int = 0) -> str:
    """Return what the action says of files with these texts."""
    paths = []
    for number, text in enumerate(texts):
        paths.append(folder / f"{number}.tasks.yml")
        paths[-1].write_text(text, encoding="utf-8")
    tasks = [{"name": "Validate", "dashtam.stack.tasks_file": {"paths": list(map(str, paths))}}]
    play = folder / "play.yml"
    play.write_text(json.dumps([{"name": "Play", "hosts": "all", "gather_facts": False, "tasks": tasks}]))
    return playbook.finish(playbook.start(*playbook.HERE, str(play)), code)


def test_what_can_be_included_passes(tmp_path: Path) -> None:
    said = check(tmp_path, GOOD, "# nothing yet\n")
    assert "FROM THE FILE" not in said


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("- name: Say\n  debug: [\n", 3, "not valid YAML"),
        ("name: Say\n", 1, "write a list of tasks"),
        ("- name: Say\n  ansible.builtin.debug: {msg: a}\n- just text\n", 3, "a task is a mapping"),
        ("\n\n- name: Say\n  ansible.builtin.debgu: {msg: a}\n", 3, "couldn't resolve module/action"),
        ("- name: Say\n", 1, "no module/action detected"),
        (
            "- name: All\n  block:\n    - name: Say\n      debgu: {msg: a}\n",
            1,
            "couldn't resolve module/action",
        ),
        (
            "- name: Say\n  ansible.builtin.debug: {msg: a}\n  whne: true\n",
            1,
            "'whne' is not a valid attribute for a Task",
        ),
    ],
)
def test_what_is_broken_is_one_line(tmp_path: Path, text: str, line: int, reason: str) -> None:
    said = check(tmp_path, "- name: Say\n  ansible.builtin.debug: {msg: a}\n", text, code=2)
    (told,) = [each for each in said.splitlines() if "tasks.yml" in each]
    assert told.startswith(f"localhost: {tmp_path}/1.tasks.yml:{line}: {reason}")
