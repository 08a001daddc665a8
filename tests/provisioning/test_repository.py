"""House rules for the repository's files as a whole: what a person who reads or edits them relies on."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.by_path import ROOT

MOST_LINES = 250


def tracked(*patterns: str) -> list[Path]:
    """Return the files that git knows, new ones included."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    return [path for name in names if (path := ROOT / name).is_file()]


@pytest.mark.parametrize("path", tracked("*.py", ":!tests"), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_of_code_can_be_read_at_once(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES, "give a part of it its own file"
