"""What people call themselves and their things: one line of text."""

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, Field

LENGTH = 100  # characters


def _one_line(value: str) -> str:
    value = unicodedata.normalize("NFC", value).strip()
    # Control characters, lone surrogates, line separators: PostgreSQL stores no NUL, and no name has any.
    if any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in value):
        raise ValueError("must not have control characters")
    # Again: without its spaces it is shorter, in its normal form it may be longer.
    if not 1 <= len(value) <= LENGTH:
        raise ValueError(f"must have 1 to {LENGTH} characters")
    return value


OneLine = Annotated[str, Field(min_length=1, max_length=LENGTH), AfterValidator(_one_line)]
