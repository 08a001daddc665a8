"""docker_outdated: code that a server started too early to have read."""

from __future__ import annotations

import itertools
import os
import threading
from concurrent.futures import ThreadPoolExecutor
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


def test_files_and_folders_may_come_and_go(tmp_path: Path) -> None:
    """As an editor makes them beside the file that is saved."""
    ended = threading.Event()

    def save() -> None:
        for number in itertools.cycle(range(7)):
            folder = tmp_path / f"backup{number}"
            folder.mkdir()
            (folder / "config.py~").touch()
            (tmp_path / f"config{number}.py~").touch()
            (folder / "config.py~").unlink()
            folder.rmdir()
            (tmp_path / f"config{number}.py~").unlink()
            if ended.is_set():
                return

    for number in range(50):
        (tmp_path / f"module{number}.py").touch()
    with ThreadPoolExecutor(1) as editor:
        saving = editor.submit(save)
        try:
            for _ in range(800):
                assert plugin.changed_at(tmp_path) > 0
        finally:
            ended.set()
        saving.result()
