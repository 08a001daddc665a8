"""Whether pip will accept a file of requirements in a build, told in a moment instead of after a minute."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

# Where an option's argument would be in the build, there is nothing: of the project it has this one file.
OTHER_FILES = re.compile(r"(-r|-c|-e|--requirement|--constraint|--editable)\b")
WRITE = "uv pip compile --generate-hashes requirements.in -o"


def _requirements(text: str) -> Iterator[tuple[int, str]]:
    """Yield each logical line that is no comment, with the number of its first line."""
    first = 0
    parts: list[str] = []
    for number, line in enumerate([*text.splitlines(), ""], 1):
        first = first if parts else number
        continued = line.rstrip().endswith("\\")
        parts.append(re.sub(r"(^|\s)#.*", "", line).rstrip().removesuffix("\\"))
        if not continued:
            if joined := " ".join(parts).strip():
                yield first, joined
            parts = []


def requirements_fault(path: str, text: str) -> str:
    """Return a sentence about the first requirement that pip would refuse, empty if there is none.

    Pip demands hashes of all requirements: https://pip.pypa.io/en/stable/topics/secure-installs/

    :param path: the file, for the message.
    :param text: what is in it.
    """
    loose = []
    for number, requirement in _requirements(text):
        if OTHER_FILES.match(requirement):
            return (
                f"{path}:{number}: {requirement.split()[0]} names another file, and the build has "
                f"only this one. Pin all in one file: {WRITE} {path}"
            )
        if not requirement.startswith("-") and not re.search(r"\s--hash[= ]\w+:", requirement):
            loose.append((number, requirement))
    if not loose:
        return ""
    number, requirement = loose[0]
    more = f", and {len(loose) - 1} more have none" if len(loose) > 1 else ""
    return (
        f"{path}:{number}: {requirement} has no hash{more}. "
        f"An image is built from requirements that are pinned with hashes: {WRITE} {path}"
    )


def read_requirements(path: str, variable: str) -> tuple[str, str]:
    """Return a file's text, and a sentence about what is wrong with it or with its place.

    :param path: the file, empty if nobody gave one.
    :param variable: what it is given by, for the message.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        place = f"{path}: {error.strerror}" if path else "give the file of Python requirements"
        return "", f"{variable}: {place}."
    return text, requirements_fault(path, text)
