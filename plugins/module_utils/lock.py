"""One run at a time changes an environment; what a killed run left behind is waited for.

An action holds the lock while it changes something. A run whose changes belong together holds it from the
first of them to its end, by a process of its own (:func:`hold`): Ansible runs each task in another process.
Ansible's worker outlives its run: after `kill -9` it goes on with the action that it was given.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ansible import constants as C
from ansible.utils.display import Display
from ansible_collections.dashtam.stack.plugins.module_utils import engine

display = Display()

# Longer than a container may take to stop (PostgreSQL's 30 s), twice over.
PATIENCE = 120.0
PAUSE = 0.2
# The process of a run whose tasks start other runs, such as `make seed`: those are a part of it.
OUTER_RUN = "DASHTAM_STACK_RUN"
# Ends with the run. A lock of flock(2) is freed once the last process that has inherited it has ended.
KEEPER = f"""
import contextlib, os, select, sys, time
run = int(sys.argv[1])
with contextlib.suppress(OSError):
    if hasattr(os, "pidfd_open"):
        select.select([os.pidfd_open(run)], [], [])
    while os.kill(run, 0) is None:
        time.sleep({PAUSE})
"""


@dataclass(frozen=True)
class Turn:
    """A turn to change an environment; the lock's file has a byte for each change that was begun."""

    stream: IO[str]

    @property
    def number(self) -> int:
        """How many changes were begun before."""
        return os.fstat(self.stream.fileno()).st_size

    def begin(self) -> None:
        """Count a change, before anything is touched."""
        self.stream.write(".")
        self.stream.flush()


@contextmanager
def exclusive(labels: Mapping[str, str], patience: float = PATIENCE) -> Iterator[Turn]:
    """Hold the lock of the containers with these labels.

    The kernel frees it when its holder ends, however it ends. It is this user's on this machine: whoever
    shares an engine from elsewhere is not held up.

    :param patience: seconds to wait for another holder.
    :raises EngineError: another run held it for longer, or this run was killed meanwhile.
    """
    with _taken(labels, patience) as (_, turn):
        yield turn


def hold(labels: Mapping[str, str], patience: float = PATIENCE) -> None:
    """Hold the lock until the run ends. It counts as a change; the run's own actions take it all the same.

    :param patience: see :func:`exclusive`.
    :raises EngineError: see :func:`exclusive`.
    """
    run = os.getppid()
    with _taken(labels, patience) as (holder, turn):
        if holder is None:
            return
        turn.begin()
        subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-ISc", KEEPER, str(run)],
            pass_fds=[holder.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


@contextmanager
def _taken(labels: Mapping[str, str], patience: float) -> Iterator[tuple[IO[str] | None, Turn]]:
    """Take the lock of the runs, unless this run holds it, then that of the actions, which a worker may have.

    Yields the first one's file, or nothing where this run holds it already.
    """
    which = json.dumps([engine.address().host, sorted(labels.items())])
    # Beside the folder that Ansible makes for this run; it is the user's own.
    folder = Path(C.DEFAULT_LOCAL_TMP).parent
    path = folder / f"dashtam.stack-{hashlib.sha256(which.encode()).hexdigest()[:16]}.lock"
    run, waits, until = os.getppid(), False, time.monotonic() + patience
    # What no process has, where there is no outer run.
    ours = (str(run), os.environ.get(OUTER_RUN, ""))
    with path.with_suffix(".run").open("a+") as holder, path.open("a") as stream:
        while True:
            free = _locked(holder)
            if (free or str(_who(holder)) in ours) and _locked(stream):
                break
            if time.monotonic() > until:
                raise engine.EngineError(
                    f"Another run has been changing or testing these containers for {patience:.0f} s. "
                    "Nothing was touched. Wait for it or stop it "
                    f"(its process is {_who(holder)}; fuser {path} shows what is left of it)."
                )
            if not waits:
                said = "Another run is changing or testing these containers. Waiting for it to end ..."
                display.display(said, stderr=True)  # what is asked for may be JSON
            waits = True
            time.sleep(PAUSE)
        if os.getppid() != run:
            raise engine.EngineError(
                "The run was killed while it waited for another one. Nothing was touched."
            )
        if free:
            holder.truncate(0)
            holder.write(str(run))
            holder.flush()
        yield holder if free else None, Turn(stream)


def _locked(stream: IO[str]) -> bool:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _who(holder: IO[str]) -> int:
    """Return the process of the run that took the lock last, 0 if it is just taking it."""
    holder.seek(0)
    return int(holder.read() or 0)
