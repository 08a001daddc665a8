"""docker_outdated: code that a server started too early to have read."""

from __future__ import annotations

import os
from pathlib import Path

from tests.by_path import load

plugin = load("plugins/lookup/docker_outdated.py")


def test_a_file_counts_from_its_last_change_whatever_its_own_time_says(tmp_path: Path) -> None:
    (tmp_path / "core").mkdir()
    file = tmp_path / "core/config.py"
    file.write_text("PORT = 1")
    os.utime(file, (0, 0))
    assert plugin.changed_at(tmp_path) == file.stat().st_ctime > 0


def test_bytecode_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__/config.cpython-313.pyc").touch()
    assert plugin.changed_at(tmp_path) == 0
