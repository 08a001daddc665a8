"""Filters that write a value so that every reader of the env file gets the same one.

The readers: `docker run --env-file`, python-dotenv, a POSIX shell (`set -a; . file`). Docker's takes
everything after the first `=` literally, quotes included; the other two know quotes, but escape
differently. Four classes:

plain      letters, digits and `_@%+=:,./-`: written as it is, and all three agree
quoted     single or double quotes that python-dotenv and a shell read alike; docker would keep the quotes
unwritten  no spelling on which even those two agree: the line is a comment that says why
refused    characters that Python's `str.isprintable` does not count as printable, or what is no text: no
           environment variable may hold it

`isprintable` is the one rule for the characters of a value. The application's guard of its test database
applies it to DATABASE_URL, too, so that what is accepted here is not refused there. It excludes control
characters and what nobody sees: no-break and zero-width spaces, the byte order mark, line separators.
PostgreSQL normalizes some of them away (SASLprep, RFC 4013): the password would not be what was typed.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.dashtam.stack.plugins.module_utils.filter_module import filters

PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-]*")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# What a shell expands after a dollar sign, inside double quotes too.
SHELL_EXPANDS = re.compile(r"\$[A-Za-z0-9_{(\[@*#?$!-]")


class Unwritable(ValueError):
    """The value is good for an environment, but no spelling in a file means it to every reader."""


class Refused(ValueError):
    """The value is not good for an environment at all."""


def described(character: str) -> str:
    """What a character that is not printable is called."""
    usual = {"\n": "a newline", "\r": "a carriage return", "\t": "a tab", "\0": "a NUL character"}
    if unicodedata.category(character) in ("Cc", "Cs"):
        return usual.get(character, "a control character")
    name = unicodedata.name(character, "without a name")
    return f"an invisible character (U+{ord(character):04X}, {name.lower()})"


def spell(value: str) -> str:
    """The value as it stands behind `NAME=`."""
    for character in value:
        if not character.isprintable():
            raise Refused(f"it holds {described(character)}")
    if PLAIN.fullmatch(value):
        return value
    if "${" in value:
        raise Unwritable("python-dotenv expands ${ in any quotes")
    if "'" not in value:
        # In single quotes a shell takes every backslash as it is; python-dotenv not before another, or last.
        if "\\\\" not in value and not value.endswith("\\"):
            return f"'{value}'"
        if "$" in value or "`" in value:
            raise Unwritable("a shell and python-dotenv escape \\ together with $ or ` differently")
    if "`" in value or SHELL_EXPANDS.search(value):
        raise Unwritable("a shell and python-dotenv escape ' together with $ or ` differently")
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def dotenv_value(value: str) -> str:
    """The value, quoted if need be; an error where no spelling is read alike."""
    if not isinstance(value, str):
        raise AnsibleFilterError(
            f"dotenv_value needs a string, not {type(value).__name__}: quote it, or use `| string`"
        )
    try:
        return spell(value)
    except ValueError as error:
        raise AnsibleFilterError(f"the value cannot be written: {error}") from None


def dotenv_line(value: str, name: str) -> str:
    """`NAME=value`; a comment with the reason where no spelling is read alike. The value is in no message."""
    refused = dotenv_refused({name: value})
    if refused:
        raise AnsibleFilterError(refused[0])
    try:
        return f"{name}={spell(value)}"
    except Unwritable as reason:
        return f"# {name} is set in the container, not in this file: {reason}"


def dotenv_refused(values: dict[str, Any]) -> list[str]:
    """Why which names or values can be no environment variables: one sentence each, without the value."""
    refused = []
    for name, value in values.items():
        if not NAME.fullmatch(name):
            refused.append(f"{name!r} is not a name for a variable: use letters, digits and underscores")
        elif not isinstance(value, str):
            refused.append(f"{name} needs a string, not {type(value).__name__}: put quotes around it")
        else:
            try:
                spell(value)
            except Refused as reason:
                refused.append(f"{name} cannot be an environment variable: {reason}; give another value")
            except Unwritable:
                continue
    return refused


def dotenv_quoted(values: dict[str, str]) -> list[str]:
    """The names whose values stand in quotes, which `docker run --env-file` would take literally."""
    quoted = []
    for name, value in values.items():
        try:
            if isinstance(value, str) and spell(value) != value:
                quoted.append(name)
        except ValueError:
            continue
    return quoted


FilterModule = filters(dotenv_value, dotenv_line, dotenv_quoted, dotenv_refused)
