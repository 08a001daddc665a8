"""Which instance of this checkout is meant, and which block of ports it has: prints `name offset`.

    python3 playbooks/instances.py auto            named after the git branch, or a detached worktree's folder
    python3 playbooks/instances.py NAME [--new]    its remembered offset, if it has one; --new finds one

A line for each is kept in env/.instances of the repository's first worktree, so that no two worktrees get the
same block. For the Makefile, which asks before there is a .venv: only what Python itself has.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
# As module_utils/variable_values.py has it, which needs Ansible.
LENGTH = 20
FIRST = "dashtam"
# What inventories/dev publishes; test's are the next ones.
PORTS = (8000, 8182, 9443, 8025, 5432, 6379)
# Beyond, one environment's ports would be another's.
OFFSETS = range(10, 1000, 10)


class InstanceError(Exception):
    """What is wrong and what to do, in one line."""


def said(*command: str) -> str:
    """Return what a command prints in this checkout, empty where it fails or is missing."""
    try:
        run = subprocess.run(  # noqa: S603 - our own commands
            command, cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return run.stdout.strip() if run.returncode == 0 else ""


def git(*arguments: str) -> str:
    """Return what git prints, empty where there is no repository."""
    return said("git", *arguments)


def subject() -> tuple[str, str]:
    """Return what an automatic instance is named after: its key in the file, and a name to make one of.

    Raises InstanceError outside a repository.
    """
    if branch := git("symbolic-ref", "--quiet", "--short", "HEAD"):
        return f"branch:{branch}", branch
    if git("rev-parse", "--git-dir"):
        return f"folder:{CHECKOUT}", CHECKOUT.name
    raise InstanceError(
        "INSTANCE=auto is named after a git branch, and this folder is no repository: give it a name"
    )


def sanitised(name: str, taken: set[str]) -> str:
    """Return a name of an instance, like this one and not among those that are taken."""
    words = re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")
    words = words if re.match("[a-z]", words) else f"b-{words}".strip("-")
    for number in range(1, 1000):
        ending = "" if number == 1 else f"-{number}"
        candidate = words[: LENGTH - len(ending)].rstrip("-") + ending
        if candidate not in taken:
            return candidate
    raise InstanceError(f"there is no free name like {words}")


def existing() -> set[tuple[str, str]] | None:
    """Return instance and checkout of all containers and volumes; None if no engine answers."""
    if not said("docker", "version", "--format", "{{.Server.Version}}"):
        return None
    form = '{{.Label "dashtam.instance"}} {{.Label "dashtam.checkout"}}'
    found = set()
    for kind in (("ps", "--all"), ("volume", "ls")):
        listed = said("docker", *kind, "--filter", "label=dashtam.instance", "--format", form)
        for line in listed.splitlines():
            name, _, checkout = line.partition(" ")
            found.add((name, checkout))
    return found


def kept_offset(instance: str, checkout: str) -> set[int]:
    """Return the block of an instance of which maybe only a volume is left, as its env file tells it."""
    suffix = "" if instance == FIRST else f".{instance}"
    try:
        text = Path(checkout, f"env/.env.dev{suffix}").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return set()
    # The address follows the port that is published.
    ports = re.findall(r"^SCHWAB_REDIRECT_URI=.*:(\d+)\b", text, re.MULTILINE)
    return {int(port) - PORTS[1] for port in ports if int(port) >= PORTS[1]}


def used_offsets() -> set[int]:
    """Return the blocks of all instances of which a container or volume exists; none if no engine answers."""
    ports = "{{range .HostConfig.PortBindings}}{{range .}}{{.HostPort}} {{end}}{{end}}"
    ids = said("docker", "ps", "-aq", "--filter", "label=dashtam.instance").split()
    found = said("docker", "inspect", "--format", ports, *ids) if ids else ""
    numbers = [int(port) for port in found.split() if port.isdigit()]
    used = {(number - base) // 10 * 10 for number in numbers for base in PORTS if number >= base}
    return used.union(*(kept_offset(*each) for each in existing() or ()))


def is_free(offset: int) -> bool:
    """Say whether nothing listens on this machine at the ports of dev and test."""
    for port in (base + offset + which for base in PORTS for which in (0, 1)):
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


def free_offset(taken: set[int]) -> int:
    """Return the first block of ports that nobody has. Raises InstanceError."""
    busy = taken | used_offsets()
    for offset in OFFSETS:
        if offset not in busy and is_free(offset):
            return offset
    raise InstanceError("no block of ports is free; see make ls, and remove an instance with make clean")


def folder() -> Path:
    """Return where the file is: the first worktree's env/, else this checkout's."""
    common = git("rev-parse", "--path-format=absolute", "--git-common-dir")
    shared = Path(common).parent / "env"
    return shared if Path(common).name == ".git" and shared.is_dir() else CHECKOUT / "env"


@contextlib.contextmanager
def remembered(path: Path) -> Iterator[dict[str, tuple[str, int]]]:
    """Read the file, let one caller at a time change what is in it, and write it if it was changed."""
    path.parent.mkdir(exist_ok=True)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        known = {}
        for number, line in enumerate(text.splitlines(), start=1):
            if not (words := re.fullmatch(r"([a-z0-9-]+) (\d+) (.+)", line)):
                raise InstanceError(f"{path}:{number}: not a line of name, offset and key; remove it")
            known[words[3]] = (words[1], int(words[2]))
        before = dict(known)
        yield known
        if known != before:
            part = path.with_name(f"{path.name}.new")
            part.write_text(
                "".join(f"{name} {offset} {key}\n" for key, (name, offset) in known.items()), encoding="utf-8"
            )
            part.replace(path)
    finally:
        os.close(descriptor)


def forget(known: dict[str, tuple[str, int]], *, copies: bool = False) -> None:
    """Leave out what is named after branches and folders that are gone, and has neither container nor volume.

    :param copies: also what was named by hand. What was named a moment ago has nothing yet either.
    """
    objects = existing()
    if objects is None:
        return
    names = {name for name, _ in objects}
    branches = set(git("for-each-ref", "--format=%(refname:short)", "refs/heads").splitlines())
    for key, (called, _) in list(known.items()):
        kind, _, name = key.partition(":")
        # A branch without a commit is not listed yet.
        gone = {
            "branch": bool(branches) and name not in branches,
            "folder": not Path(name).is_dir(),
            "name": copies,
        }
        if called not in names and gone.get(kind, False):
            del known[key]


def choose(name: str, new: bool, path: Path) -> tuple[str, str]:
    """Return an instance's name and its offset, empty where it has none. Raises InstanceError."""
    if not re.fullmatch("[A-Za-z0-9_-]+", name):
        raise InstanceError(f"INSTANCE={name!r}: a name has lower-case letters, digits and single hyphens")
    if name == FIRST:
        return FIRST, ""
    key, like = subject() if name == "auto" else (f"name:{name}", name)
    with remembered(path) as known:
        by_name = {called: str(offset) for called, offset in known.values()}
        if key in known:
            called, offset = known[key]
            return called, str(offset)
        if name != "auto" and (name in by_name or not new):
            return name, by_name.get(name, "")
        forget(known)
        if len(known) >= len(OFFSETS):
            forget(known, copies=True)
        taken = {FIRST, *(called for called, _ in known.values())}
        called = sanitised(like, taken) if name == "auto" else name
        known[key] = (called, free_offset({offset for _, offset in known.values()}))
        return called, str(known[key][1])


def main(arguments: list[str]) -> int:
    """Print the answer; an exit code."""
    try:
        chosen = choose(arguments[0], "--new" in arguments, folder() / ".instances")
    except (InstanceError, OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{' '.join(chosen)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
