"""Write a rendered env file privately and in one step, unless a person has edited it by hand.

Below the header stands a checksum of what follows it. A file whose checksum does not hold was edited: the
run stops and names the variables whose lines differ from what would be written, never their values. An edit
that has been moved to its proper place makes the lines equal again, and the file is taken back. An action
plugin, so that it costs no module call.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Any, ClassVar

from ansible_collections.dashtam.stack.plugins.module_utils import private_files
from ansible_collections.dashtam.stack.plugins.module_utils.local_action import LocalAction, Problem
from ansible_collections.dashtam.stack.plugins.module_utils.template_files import rendered

CHECKSUM = "# checksum: "
ASSIGNMENT = re.compile(
    r"\s*(?:export\s+)?(?:#\s*)?([A-Za-z_][A-Za-z0-9_]*)(?:\s*=|\s+is set in the container)"
)


def checksum(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()


def compose(header: str, body: str) -> str:
    """The whole file: the header as comment lines, the checksum, the body."""
    body = body if body.endswith("\n") else body + "\n"
    head = "".join(f"# {line}".rstrip() + "\n" for line in header.splitlines())
    return f"{head}{CHECKSUM}{checksum(body)}\n{body}"


def split(text: str) -> tuple[str | None, str]:
    """The recorded checksum (none in a file that is not ours) and the body below it."""
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines):
        if line.startswith(CHECKSUM):
            return line.removeprefix(CHECKSUM).strip(), "".join(lines[number + 1 :])
        if not line.startswith("#"):
            break
    return None, text


def differing(current: str, wanted: str) -> list[str]:
    """What a person changed, in the order of the lines: variables, or `line <n>` where a line holds none."""
    unchanged = set(current.split("\n")) & set(wanted.split("\n"))
    changed: dict[str, None] = {}
    for text in (current, wanted):
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip() and line not in unchanged:
                assignment = ASSIGNMENT.match(line)
                if assignment:
                    changed[assignment[1]] = None
                elif text is current:
                    changed[
                        "a comment" if line.lstrip().startswith("#") else f"line {number} below the checksum"
                    ] = None
    return list(changed) or ["blank lines or the order of lines"]


def judge(path: Path, current: str, wanted: str) -> None:
    """Raise Problem if the file is not as it was written."""
    advice = "Move the edit to where its first line says, or delete the file to drop it; then run again."
    recorded, body = split(current)
    _, wanted_body = split(wanted)
    if recorded is None:
        raise Problem(f"{path} was not written by this role, or its header was changed. {advice}")
    if recorded != checksum(body) and body != wanted_body:
        raise Problem(f"{path} was edited by hand: {', '.join(differing(body, wanted_body))}. {advice}")


def keep(path: Path, text: str, *, dry_run: bool) -> bool:
    """Make the file hold the text; whether it was (or, in a dry run, would be) changed."""
    try:
        current: str | None = path.read_bytes().decode("utf-8", "replace")
    except FileNotFoundError:
        current = None
    if current == text:
        loose = path.stat().st_mode & 0o077 != 0
        if loose and not dry_run:
            path.chmod(0o600)
        return loose
    if current:
        judge(path, current, text)
    if not dry_run:
        private_files.make_parents(path.parent)
        private_files.write(path, text)
    return True


class ActionModule(LocalAction):
    """Fails in one line without any value, as the task runs under no_log."""

    arguments: ClassVar[Any] = {
        "path": {"type": "str", "required": True},
        "header": {"type": "str", "required": True},
        "template": {"type": "str", "required": True},
        "refused": {"type": "list", "elements": "str", "default": []},
    }

    def act(self, arguments: dict[str, Any]) -> dict[str, Any]:
        if arguments["refused"]:
            raise Problem(f"{arguments['path']}: {'; '.join(arguments['refused'])}")
        path = Path(os.path.realpath(arguments["path"]))
        text = compose(arguments["header"], rendered(self, arguments["template"]))
        try:
            return {"changed": keep(path, text, dry_run=self.dry_run)}
        except OSError as error:
            raise Problem(
                f"{path}: {error.strerror}; make it readable and writable for you, then run again"
            ) from None
