"""Whether the log of a container ends with an error that its program does not recover from by itself.

`uvicorn --reload` goes on after its server has failed, waits for the next edit and says nothing more: to the
engine the container runs, until its health check has failed often enough.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import docker
from ansible_collections.dashtam.stack.plugins.module_utils.quantities import started_seconds_ago

# Longer than a traceback through importlib and multiprocessing.
LINES = 150
HEADER = "Traceback (most recent call last):"
PLACE = re.compile(r'^  File "(?P<file>[^"]+)", line (?P<line>\d+)')
ERROR = re.compile(r"^[A-Za-z_][\w.]*(: |:?$)")
# What a line of logfmt or JSON is about.
SAID = re.compile(r'\b(?:msg|message|event)"?[=:] ?(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^\s,}]+))')
# How a program's next message begins; an error's own text may have several lines.
MESSAGE = re.compile(r"^(\{|\[|\w+=|\d{4}-\d\d|(DEBUG|INFO|WARNING|ERROR|CRITICAL)\b)")


@dataclass(frozen=True)
class End:
    """The end of a log."""

    last: str = ""
    """Its last line that is not empty; of a structured one what it says."""
    error: str = ""
    """The error with which it ends, its file and line added; empty if it ends with anything else."""
    silence: float = 0.0
    """Seconds since the last line."""


def error_at_end(lines: list[str]) -> str:
    """Return the last line of the traceback that these lines end with, with its place; else nothing."""
    starts = [number for number, line in enumerate(lines) if line == HEADER]
    if not starts:
        return ""
    error = place = ""
    for line in lines[starts[-1] + 1 :]:
        if found := PLACE.match(line):
            place = f" ({found['file']}, line {found['line']})"
        elif MESSAGE.match(line):
            return ""
        elif not error and ERROR.match(line):
            error = line
    return f"{error}{place}" if error else ""


def end_of_log(client: docker.APIClient, name: str) -> End:
    """Look at the end of a container's log.

    :raises docker.errors.APIError: there is no such container, or its log cannot be read.
    """
    text = client.logs(name, tail=LINES, timestamps=True).decode(errors="replace")
    # A line may hold what splitlines() takes for an end, such as the \r of a progress bar.
    stamped = [line.partition(" ") for line in text.split("\n") if " " in line]
    lines = [line.rstrip() for _, _, line in stamped]
    last = next((line for line in reversed(lines) if line), "")
    if said := SAID.search(last):
        last = said["quoted"] or said["bare"] or last
    try:
        silence = started_seconds_ago(stamped[-1][0]) if stamped else 0.0
    except ValueError:
        silence = 0.0  # a log driver that gives no time
    return End(last, error_at_end(lines), silence)
