"""An existing env file becomes a dict, or is refused with the line, and no value is shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.errors import AnsibleLookupError

from tests.by_path import load

read = load("plugins/lookup/dotenv.py").read

FILE = """\
# settings of the shop
NAME=shop
export GREETING="good day, \\"all\\""
LITERAL='a $b #c'

EMPTY=
URL=https://shop.example/?a=b#c  # a comment
KEY="-----BEGIN-----
abc
-----END-----"
"""


def test_it_is_read_as_python_dotenv_reads_it(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(FILE)
    assert read(tmp_path / ".env") == {
        "NAME": "shop",
        "GREETING": 'good day, "all"',
        "LITERAL": "a $b #c",
        "EMPTY": "",
        "URL": "https://shop.example/?a=b#c",
        "KEY": "-----BEGIN-----\nabc\n-----END-----",
    }


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("SECRET", ":2: SECRET has no =. Write SECRET= for an empty value."),
        ("URL=https://${HOST}/hidden", ":2: URL refers to another variable with ${"),
        ("A='hidden", ":2: this is not a line of an env file. Write NAME=value."),
    ],
)
def test_a_line_that_readers_understand_differently_is_named(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / ".env").write_text(f"A=b\n{line}\n")
    with pytest.raises(AnsibleLookupError) as raised:
        read(tmp_path / ".env")
    assert str(raised.value).startswith(f"{tmp_path}/.env{said}")
    assert "hidden" not in str(raised.value)


def test_a_file_that_is_missing_or_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(AnsibleLookupError, match=r"\.env cannot be read: No such file"):
        read(tmp_path / ".env")
    (tmp_path / ".env").write_bytes(b"A=\xff")
    with pytest.raises(AnsibleLookupError, match=r"\.env cannot be read: it is not UTF-8"):
        read(tmp_path / ".env")
