"""How often what is measured by repetition is repeated: a few times in every run, more with FULL=1."""

import os

FULL = os.environ.get("VERIFY_FULL") == "1"


def rounds(short: int, full: int) -> range:
    """Return the numbers of the rounds of this run."""
    return range(full if FULL else short)
