"""What a task's failure is, for whoever reads it."""

from __future__ import annotations

from typing import Any

from ansible.playbook.task import Task

# Actions whose message was written for the person at the terminal.
SPOKEN = {
    "ansible.builtin.assert",
    "ansible.builtin.fail",
    "ansible.builtin.validate_argument_spec",
}
# Lines of a program's output that a failure needs to be understood.
LAST_LINES = 10


def is_rescued(task: Task) -> bool:
    """Say whether a rescue follows where this task fails. One that is in a rescue has none of its own."""
    inner, outer = task, task._parent
    while outer:
        if getattr(outer, "rescue", None) and inner._uuid in {each._uuid for each in outer.block}:
            return True
        inner, outer = outer, outer._parent
    return False


def is_spoken(task: Task) -> bool:
    """Say whether the message of its failure was written for people, and is printed alone."""
    return task.action in SPOKEN or task.action.startswith("dashtam.stack.")


def reason(result: dict[str, Any]) -> str:
    """Return a failure's message, and the end of what its program has written."""
    written = next(filter(None, (result.get(each) for each in ("stderr", "module_stderr", "stdout"))), "")
    lines = [str(result.get("msg") or "It gives no reason.").strip()]
    return "\n  ".join(lines + [line for line in str(written).splitlines() if line.strip()][-LAST_LINES:])
