"""What is no secret although it stands where one belongs."""

import re

PLACEHOLDER = re.compile(r"change[-_ ]?me|placeholder|your[-_ ]|replace[-_ ]|example|^<.*>$", re.IGNORECASE)
LENGTH = 32
DISTINCT_CHARACTERS = 10


def check(value: str) -> None:
    """Raise ``ValueError``, which says why without repeating any of it, where ``value`` can be guessed."""
    if PLACEHOLDER.search(value):
        raise ValueError("is a placeholder")
    if len(value) < LENGTH:
        raise ValueError(f"has {len(value)} characters, {LENGTH} are the least")
    if len(set(value)) < DISTINCT_CHARACTERS:
        raise ValueError("repeats too few different characters")
