"""Passwords that are tried first: a well-known word with a capital, digits and special characters.

The words are in ``common_passwords.txt``. zxcvbn would know more of them, but some passwords of 70 characters
take it 6 s (its Rust edition 1 s). Whoever can register could keep the app busy with those.
"""

import re
import unicodedata
from pathlib import Path

WORDS = frozenset(Path(__file__).with_suffix(".txt").read_text(encoding="utf-8").split())
# What is commonly written instead of a letter. The digit 1 and ! stand for two letters.
_LEET = dict(zip("0345789@$€+|", "oeastbgasetl", strict=True))
_READINGS = [
    str.maketrans(reading) for reading in ({}, *(_LEET | dict.fromkeys("1!", each) for each in "il"))
]
_NO_LETTERS = r"[\W\d_]+"


def is_common(password: str) -> bool:
    """Tell whether nothing is left of ``password`` but a well-known word, or one letter, maybe repeated."""
    written = unicodedata.normalize("NFKC", password).casefold()
    beginning = re.sub(f"{_NO_LETTERS}$", "", written)
    parts = (beginning, re.sub(f"^{_NO_LETTERS}", "", beginning))
    units = {_unit(part.translate(reading)) for part in parts for reading in _READINGS}
    return any(unit in WORDS or len(unit) == 1 for unit in units)


def _unit(text: str) -> str:
    """The letters of ``text``; of letters that are repeated over and over, one round."""
    letters = "".join(filter(str.isalpha, text))
    return re.sub(r"^(.+?)\1+$", r"\1", letters)
