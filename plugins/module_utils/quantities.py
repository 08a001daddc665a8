"""Sizes and durations, read by the functions that docker_container reads them with, and time stamps."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from ansible.module_utils.common.text.formatters import human_to_bytes

try:
    from ansible_collections.community.docker.plugins.module_utils.util import convert_duration_to_nanosecond
except ImportError:  # community.docker 5
    from ansible_collections.community.docker.plugins.module_utils._util import convert_duration_to_nanosecond

# human_to_bytes accepts spaces, too, which other readers of the same value do not.
SIZE = re.compile(r"[0-9]+(\.[0-9]+)?([KMGT]B?|B)?", re.IGNORECASE)
UNITS = {"T": 1024**4, "G": 1024**3, "M": 1024**2, "K": 1024, "": 1}
NANOSECONDS = 1e9


def in_bytes(value: Any) -> int:
    """Return the bytes of a size such as ``64M``, ``1.5G`` or ``0``.

    :raises ValueError: the text is not a size; the message is a sentence that begins with the value.
    """
    try:
        if not SIZE.fullmatch(str(value)):
            raise ValueError
        return int(human_to_bytes(value))
    except ValueError:
        raise ValueError(f"{value} is not a size. Write one such as 512M or 1.5G.") from None


def in_seconds(value: Any) -> float:
    """Return the seconds of a duration such as ``1m30s``.

    :raises ValueError: the text is not a duration, or has no unit; the message is a sentence that begins with
        the value.
    """
    try:
        return float(convert_duration_to_nanosecond(value) / NANOSECONDS)
    except ValueError:
        raise ValueError(f"{value} is not a duration. Write one such as 10s or 1m30s.") from None


def shown_size(number: int) -> str:
    """Return a size for people, in the largest unit that it is a multiple of; 0 and less are no limit."""
    if number <= 0:
        return "no limit"
    unit = next(unit for unit, factor in UNITS.items() if number % factor == 0)
    return f"{number // UNITS[unit]}{unit}"


def started_seconds_ago(stamp: str) -> float:
    """Return the age of the engine's RFC 3339 time stamp in seconds."""
    return (datetime.now(UTC) - datetime.fromisoformat(stamp)).total_seconds()
