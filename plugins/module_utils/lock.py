"""One run at a time changes an environment's containers; what a killed run left behind is waited for.

Ansible's worker outlives its run: after `kill -9` it goes on with the action that it was given.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
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
    which = json.dumps([engine.address().host, sorted(labels.items())])
    # Beside the folder that Ansible makes for this run; it is the user's own.
    folder = Path(C.DEFAULT_LOCAL_TMP).parent
    path = folder / f"dashtam.stack-{hashlib.sha256(which.encode()).hexdigest()[:16]}.lock"
    run, waiting, until = os.getppid(), False, time.monotonic() + patience
    with path.open("a") as stream:
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise engine.EngineError(
                        f"Another run has been changing these containers for {patience:.0f} s. "
                        f"Nothing was touched. Wait for it or stop it (fuser {path} shows its process)."
                    ) from None
                if not waiting:
                    waits = "Another run is changing these containers. Waiting for it to end ..."
                    display.display(waits, stderr=True)  # what is asked for may be JSON
                waiting = True
                time.sleep(PAUSE)
        if os.getppid() != run:
            raise engine.EngineError(
                "The run was killed while it waited for another one. Nothing was touched."
            )
        yield Turn(stream)
