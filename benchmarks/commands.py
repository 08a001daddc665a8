"""Runs commands and measures what they cost."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHOWN_LINES = 30
END_SECONDS = 15
# A recipe that runs make hands these on, and with them the caller's variables.
OF_MAKE = ("MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS")


class CommandError(Exception):
    """A command failed; the message ends with what it printed last."""


@dataclass(frozen=True)
class Cost:
    """What something took.

    :param wall: seconds of wall time.
    :param cpu: CPU seconds of the client's processes. The engine and the containers are not included.
    """

    wall: float
    cpu: float


def run(*command: str, environment: Mapping[str, str] | None = None, stdin: bytes | None = None) -> str:
    """Run a command in the checkout and return what it prints to its standard output.

    :raises CommandError: it exits with a code other than 0.
    """
    inherited = {name: value for name, value in os.environ.items() if name not in OF_MAKE}
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**inherited, "ANSIBLE_NOCOLOR": "1", **(environment or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A group that can be ended as a whole: a playbook that outlived its make would create containers.
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(stdin or b"")
    except BaseException:
        _end(process)
        raise
    printed = output.decode(errors="replace")
    if process.returncode != 0:
        lines = (printed + errors.decode(errors="replace")).splitlines()[-SHOWN_LINES:]
        raise CommandError("\n".join([f"{command[0]} exited with {process.returncode}:", *lines]))
    return printed


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command and all that it started, as Ctrl-C would, and wait for that."""
    for number in (signal.SIGINT, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.communicate(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            return


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(action: Callable[[], object]) -> Cost:
    """Run an action and return its cost, that of the commands it waits for included."""
    cpu, wall = _children_seconds(), time.monotonic()
    action()
    return Cost(wall=time.monotonic() - wall, cpu=_children_seconds() - cpu)


def remove_labelled(*labels: str) -> None:
    """Remove the engine's containers, networks and volumes that carry all of the labels (``name=value``)."""
    filters: Sequence[str] = [word for label in labels for word in ("--filter", f"label={label}")]
    for listing, removal in (
        (("ps", "--all", "--quiet"), ("rm", "--force", "--volumes")),
        (("network", "ls", "--quiet"), ("network", "rm")),
        (("volume", "ls", "--quiet"), ("volume", "rm")),
    ):
        found = run("docker", *listing, *filters).split()
        if found:
            run("docker", *removal, *found)
