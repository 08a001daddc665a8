"""What a task is doing with an object, told to the callback `concise` while it does it.

A task runs in a fork of ansible-playbook, and a result is known at its end only. So each fork inherits one
end of a pair of sockets, whose other end the callback reads. Without that callback nothing is told.
"""

from __future__ import annotations

import itertools
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

# A datagram must stay below macOS's limit of 2048 bytes.
LONGEST = 200
# A build writes hundreds of lines a second, of which a person reads none.
BETWEEN_DETAILS = 0.2

_told: socket.socket | None = None
_numbers = itertools.count()


def listen() -> socket.socket:
    """Return the end that the callback reads: a message is a JSON object, see ``Step``."""
    global _told  # what forks inherit
    heard, _told = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    heard.setblocking(False)
    # A callback that reads no more must not stop a task.
    _told.setblocking(False)
    return heard


def _tell(message: dict[str, Any]) -> None:
    if _told is not None:
        with suppress(OSError):
            _told.send(json.dumps(message, ensure_ascii=False).encode(errors="replace"))


class Step:
    """One object that is built, pulled, started or waited for."""

    def __init__(self, kind: str, name: str, doing: str) -> None:
        """Tell that it begins.

        :param kind: image, container, network ...
        :param name: the object's name.
        :param doing: what happens to it, such as ``building``.
        """
        self._key = f"{os.getpid()}-{threading.get_ident()}-{next(_numbers)}"
        self._next = 0.0
        _tell({"key": self._key, "kind": kind, "name": name[:LONGEST], "doing": doing})

    def detail(self, text: str) -> None:
        """Tell what it is at, such as the last line of a log; too many at a time are dropped."""
        now = time.monotonic()
        if text and now >= self._next:
            self._next = now + BETWEEN_DETAILS
            _tell({"key": self._key, "detail": text[:LONGEST]})

    def end(self, done: str = "") -> None:
        """Tell that it has ended.

        :param done: what was done with it, such as ``built``; nothing if it failed or is not worth a line.
        """
        _tell({"key": self._key, "done": done, "ended": True})


@contextmanager
def step(kind: str, name: str, doing: str, done: str = "") -> Iterator[Step]:
    """Tell of an object while the body is at it; see ``Step``. An exception ends it without a line."""
    told = Step(kind, name, doing)
    try:
        yield told
    except BaseException:
        told.end()
        raise
    told.end(done)
