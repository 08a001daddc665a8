"""What is kept beside dumps: automatic ones make room for newer ones, and their keys go with them."""

from __future__ import annotations

import json
from pathlib import Path

from tests.by_path import load

snapshots = load("plugins/action/snapshots.py")


def taken(folder: Path, name: str, digest: str) -> Path:
    dump = folder / f"{name}.dump"
    dump.write_bytes(b"")
    dump.with_name(f"{dump.name}.sha256").write_text(f"{digest}  {dump.name}\n")
    snapshots.record(dump, folder / "keys.json", f"key of {digest}", {})
    return dump


def test_keys_of_pruned_snapshots_are_forgotten_unless_another_dump_needs_them(tmp_path: Path) -> None:
    folder, keys_file = tmp_path, tmp_path / "keys.json"
    taken(folder, "mine-20260101T000000Z", "a")
    for day, digest in enumerate("abcd", 1):
        newest = taken(folder, f"auto-reset-2026010{day}T000000Z", digest)
    removed = snapshots.prune(newest, "auto-", 2, keys_file)
    assert removed == ["auto-reset-20260101T000000Z", "auto-reset-20260102T000000Z"]
    assert json.loads(keys_file.read_text()) == {digest: f"key of {digest}" for digest in "acd"}
    moved = folder / "mine-20260101T000000Z.dump"
    moved.unlink()
    assert snapshots.prune(newest, "auto-", 2, keys_file) == []
    assert "a" in json.loads(keys_file.read_text())
