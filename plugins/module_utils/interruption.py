"""Ctrl-C and SIGTERM as an exception, so that `finally` cleans up. Ansible's worker would just end."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(BaseException):
    """A signal that the worker process has received; its only argument is the signal's number."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise Interrupted in the body on SIGINT and SIGTERM, then hand the signal on to Ansible's handler."""

    def interrupt(signum: int, _frame: FrameType | None) -> None:
        for each in before:
            signal.signal(each, signal.SIG_IGN)  # Ansible sends a second one, which must not end the clean-up
        raise Interrupted(signum)

    before = {each: signal.signal(each, interrupt) for each in (signal.SIGINT, signal.SIGTERM)}
    caught = None
    try:
        yield
    except Interrupted as error:
        (caught,) = error.args
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    if caught is not None:
        os.kill(os.getpid(), caught)
