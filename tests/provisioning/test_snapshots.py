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
    removed = snapshots.prune(newest, 2, keys_file)
    assert removed == ["auto-reset-20260101T000000Z", "auto-reset-20260102T000000Z"]
    assert json.loads(keys_file.read_text()) == {digest: f"key of {digest}" for digest in "acd"}
    moved = folder / "mine-20260101T000000Z.dump"
    moved.unlink()
    assert snapshots.prune(newest, 2, keys_file) == []
    assert "a" in json.loads(keys_file.read_text())


def left(folder: Path) -> list[str]:
    return sorted(path.stem.rpartition("-")[2] for path in folder.glob("*.dump"))


def test_what_was_just_taken_stays_although_the_clock_was_put_back(tmp_path: Path) -> None:
    for year in (2031, 2032, 2033):
        taken(tmp_path, f"auto-reset-{year}0101T000000Z", str(year))
    newest = taken(tmp_path, "auto-reset-20260101T000000Z", "2026")
    assert snapshots.prune(newest, 3, tmp_path / "keys.json") == ["auto-reset-20310101T000000Z"]
    assert left(tmp_path) == ["20260101T000000Z", "20320101T000000Z", "20330101T000000Z"]


def test_what_is_being_restored_stays_although_it_is_the_oldest(tmp_path: Path) -> None:
    """A restore that fails after that would have lost it."""
    dumps = [taken(tmp_path, f"auto-restore-2026010{day}T000000Z", str(day)) for day in range(1, 5)]
    # As a person may name it.
    spare = tmp_path / "link.dump"
    spare.symlink_to(dumps[0])
    keys_file = tmp_path / "keys.json"
    assert snapshots.prune(dumps[-1], 3, keys_file, spare) == []
    assert snapshots.prune(dumps[-1], 3, keys_file, tmp_path / "elsewhere.dump") == [dumps[0].stem]


def test_all_stay_where_nobody_says_how_many(tmp_path: Path) -> None:
    """Backups are a person's to delete, also those of an instance that is called auto-retry."""
    for day in range(1, 6):
        newest = taken(tmp_path, f"auto-retry-dev-2026010{day}T000000Z", str(day))
    assert snapshots.prune(newest, 0, tmp_path / "keys.json") == []
    assert len(left(tmp_path)) == 5
