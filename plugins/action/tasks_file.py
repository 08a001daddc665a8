"""Check that files of tasks can be included, before anything in them runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleError
from ansible.playbook.task import Task
from ansible_collections.dashtam.stack.plugins.module_utils import lock
from ansible_collections.dashtam.stack.plugins.module_utils.local_action import LocalAction, Problem
from ansible_collections.dashtam.stack.plugins.module_utils.variable_places import short

DOCUMENTATION = """
name: tasks_file
short_description: Refuse a file of tasks that is broken, in one line
description:
  - P(ansible.builtin.include_tasks#module) would end the run with an excerpt of the file and much advice.
  - Looks at YAML's syntax, and at whether the action and the keywords of each task exist.
  - Runs nothing.
options:
  paths:
    description: The files.
    type: list
    elements: path
    required: true
"""

RETURN = """
environment:
  description: >-
    What the tasks want in their environment, so that a playbook that one of them starts does not wait for the
    lock that this run holds (module_utils/lock.py).
  type: dict
"""

BLOCKS = ("block", "rescue", "always")


class Broken(Exception):
    """Why a file is no file of tasks: one line that begins with its name."""


def tasks(path: Path) -> list[tuple[int, Any]]:
    """Return the entries of a file of tasks, each with the line where it begins.

    :raises Broken: it is no YAML, or no list.
    """
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        entries = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f":{mark.line + 1}" if mark else ""
        raise Broken(f"{short(path)}{where}: not valid YAML: {error.problem}") from None
    except (OSError, ValueError, yaml.YAMLError):
        raise Broken(f"{short(path)}: cannot be read as UTF-8 YAML") from None
    if entries is None:
        return []
    if not isinstance(root, yaml.SequenceNode):
        raise Broken(f"{short(path)}:1: write a list of tasks, each beginning with - name: ...")
    return list(zip((node.start_mark.line + 1 for node in root.value), entries, strict=True))


def faults(task: Any) -> Iterator[str]:
    """Yield what is wrong with one task, or with those in its block."""
    if not isinstance(task, dict):
        yield "a task is a mapping, such as - name: ... and below it the name of a module"
    elif "block" in task:
        for part in BLOCKS:
            for inner in task.get(part) or []:
                yield from faults(inner)
    else:
        try:
            Task.load(task)
        except AnsibleError as error:
            yield " ".join(str(error.message).split())


class ActionModule(LocalAction):
    """Read the files and resolve the names of modules."""

    def act(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the module-like result; it fails with a line for each fault."""
        found = []
        for path in map(Path, arguments["paths"]):
            try:
                for line, task in tasks(path):
                    found += [f"{short(path)}:{line}: {fault}" for fault in faults(task)]
            except Broken as broken:
                found.append(str(broken))
        if found:
            raise Problem("\n".join(found))
        return {"environment": {lock.OUTER_RUN: str(os.getppid())}}
