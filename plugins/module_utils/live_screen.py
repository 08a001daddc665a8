"""What is going on, below the output that stays: a line for each object, with its seconds.

Own code, where `rich` would do the same: importing rich takes a tenth of a second of every run, and whoever
takes the roles alone has no rich.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import select
import shutil
import sys
import threading
import time
import unicodedata
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ansible import context
from ansible.utils.display import Display
from ansible_collections.dashtam.stack.plugins.module_utils import progress

# Seconds: a task that is over sooner is not worth a line.
SHOWN_AFTER = 1.0
# Without a terminal: CI systems end a job that is silent for minutes, and a person doubts after some seconds.
SILENCE = 15.0
# Of a terminal's lines.
MOST_LINES = 12
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x1f\x7f]")


@dataclass
class Step:
    """What is under way: a task or an object of one."""

    title: str
    doing: str = ""
    detail: str = ""
    object: bool = False
    begun: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.begun

    @property
    def line(self) -> str:
        return f"  {self.title}{self.doing and ': '}{self.doing} {self.seconds:.0f} s  {self.detail}".rstrip()


def is_live() -> bool:
    """Say whether lines can be redrawn: a person's terminal, where Ansible asks nothing between tasks."""
    return (
        sys.stdout.isatty()
        and os.environ.get("TERM", "dumb") != "dumb"
        and os.environ.get("CI", "").lower() in ("", "0", "false")
        and not context.CLIARGS.get("step")
    )


def cut(line: str, columns: int) -> str:
    """Return what of a line fits; a log's East Asian letters and emoji have two columns each."""
    width = 0
    for place, letter in enumerate(line):
        width += 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        if width > columns:
            return line[:place]
    return line


class Screen:
    """Keep the lines that live below those that stay, and say what was done with an object."""

    def __init__(self, display: Display, *, live: bool) -> None:
        """Take over the display of this process; its forks go on as before.

        :param display: Ansible's own; its lock is held wherever something is written, and wherever a
            process is forked.
        :param live: whether lines may be redrawn, if a terminal can.
        """
        self.begun = time.monotonic()
        self.slowest: tuple[float, str] | None = None
        self.live = live and is_live()
        self._display, self._write_line = display, display.display
        self._lock = display._lock
        self._process = os.getpid()
        self._steps: dict[str, Step] = {}
        self._drawn: list[str] = []
        self._closed = threading.Event()
        self._written = time.monotonic()
        self._heard = progress.listen()
        # Of the task: whether it told of objects, and whether a line said what was done with one.
        self._objects = self.told = False
        display.display = self._display_above
        # An interrupted run calls no callback at its end.
        atexit.register(self.close)
        threading.Thread(target=self._keep, daemon=True).start()

    def begin(self, key: str, title: str) -> None:
        """Note a task that begins."""
        with self._lock:
            self._objects = self.told = False
            self._steps[key] = Step(title)

    def end(self, key: str) -> float:
        """Forget a task that has ended, after what was told of its objects; return its seconds."""
        with self._lock:
            self._hear()
            step = self._steps.pop(key, None)
            if step is None:
                return 0.0
            # Objects say more than the task that they belong to.
            if not self._objects:
                self._note(step)
            return step.seconds

    def summary(self) -> str:
        """Return the total time, and what took longest."""
        total = f"{time.monotonic() - self.begun:.1f} s"
        if self.slowest is None:
            return total
        return f"{total}, of which {self.slowest[0]:.1f} s: {self.slowest[1]}"

    def close(self) -> None:
        """Leave nothing on the screen that would not stay."""
        if os.getpid() != self._process:
            return
        with self._lock:
            self._closed.set()
            self._erase()
            self._flush()

    def _display_above(self, *arguments: Any, **options: Any) -> None:
        if os.getpid() != self._process:
            self._write_line(*arguments, **options)
            return
        with self._lock:
            self._erase()
            self._write_line(*arguments, **options)
            self._written = time.monotonic()
            self._draw()

    def _note(self, step: Step) -> None:
        if step.seconds >= SHOWN_AFTER and (self.slowest is None or step.seconds > self.slowest[0]):
            self.slowest = (step.seconds, step.title)

    def _keep(self) -> None:
        while not self._closed.is_set():
            # For the seconds; Ansible itself looks for results a thousand times a second meanwhile.
            heard, _, _ = select.select([self._heard], [], [], 0.5)
            with self._lock:
                if self._closed.is_set():
                    return
                if heard:
                    self._hear()
                if not self.live:
                    self._break_silence()
                elif self._lines() != self._drawn:
                    self._erase()
                    self._draw()
            if heard:
                # Several messages make one picture.
                time.sleep(0.05)

    def _hear(self) -> None:
        with suppress(BlockingIOError):
            while True:
                self._take(json.loads(self._heard.recv(8192)))

    def _take(self, message: dict[str, Any]) -> None:
        key = message["key"]
        if "name" in message:
            title = f"{message['kind']} {message['name']}"
            self._steps[key] = Step(title, message["doing"], object=True)
        elif step := self._steps.get(key):
            if message.get("ended"):
                del self._steps[key]
                self._note(step)
                self._objects = True
                if message["done"]:
                    self.told = True
                    self._display.display(f"  {step.title}: {message['done']}{lasted(step.seconds)}")
            else:
                step.detail = " ".join(CONTROL.sub(" ", message["detail"]).split())

    def _shown(self) -> list[Step]:
        """Return what is under way: objects, or tasks where there is none."""
        objects = [step for step in self._steps.values() if step.object]
        return objects or [step for step in self._steps.values() if step.seconds >= SHOWN_AFTER]

    def _lines(self) -> list[str]:
        if not self.live or self._closed.is_set():
            return []
        size = shutil.get_terminal_size()
        steps = self._shown()[: max(1, min(MOST_LINES, size.lines - 2))]
        return [cut(step.line, size.columns - 1) for step in steps]

    def _draw(self) -> None:
        self._drawn = self._lines()
        if self._drawn:
            sys.stdout.write("".join(f"{line}\n" for line in self._drawn))
            self._flush()

    def _erase(self) -> None:
        if self._drawn:
            sys.stdout.write(f"\x1b[{len(self._drawn)}A\r\x1b[J")
            # What comes next may go to standard error, which the same terminal shows.
            self._flush()
            self._drawn = []

    def _break_silence(self) -> None:
        steps = self._shown()
        if steps and time.monotonic() - self._written >= SILENCE:
            for step in steps[:MOST_LINES]:
                self._display.display(step.line)
            self._flush()

    def _flush(self) -> None:
        with suppress(OSError):
            sys.stdout.flush()


def lasted(seconds: float) -> str:
    """Return how long something took, for the end of a line; nothing where nobody waited for it."""
    return f" ({seconds:.1f} s)" if seconds >= SHOWN_AFTER else ""
