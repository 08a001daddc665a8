"""What .ci/three-engines says."""

from __future__ import annotations

import sys
import time
from itertools import count

number = count(1)
begun = time.monotonic()


def expect(condition: object, what: str, found: object = "") -> None:
    """Stop where something is not as it should be."""
    line = f"{next(number)}, at {time.monotonic() - begun:.0f} s: {what}\n"
    if not condition:
        sys.exit(f"FAILED {line}{found}")
    sys.stdout.write(f"ok {line}")
    sys.stdout.flush()
