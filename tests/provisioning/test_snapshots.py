"""What is kept beside dumps: automatic ones make room for newer ones, the keys stay."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.by_path import load

private_files = load("plugins/module_utils/private_files.py")
snapshots = load("plugins/action/snapshots.py")


def taken(folder: Path, name: str, key: str) -> Path:
    dump = folder / f"{name}.dump"
    dump.write_bytes(b"")
    snapshots.record(dump, folder / "keys.json", key, {})
    return dump


def keys(folder: Path) -> list[str]:
    return list(snapshots.known_keys(folder / "keys.json"))


def test_keys_stay_when_dumps_go_each_once(tmp_path: Path) -> None:
    """A dump may have been moved, and its rows need the keys that were the present ones when it was taken."""
    for day, key in enumerate(("first", "first", "second,first", "second", "third"), 1):
        newest = taken(tmp_path, f"auto-reset-2026010{day}T000000Z", key)
    assert snapshots.prune(newest, 1) == [f"auto-reset-2026010{day}T000000Z" for day in range(1, 5)]
    assert keys(tmp_path) == ["third", "second", "first"]


def test_the_newest_keys_are_kept(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text(json.dumps([f"key {number}" for number in range(100)]))
    taken(tmp_path, "mine-20260101T000000Z", "new")
    assert keys(tmp_path) == ["new", *(f"key {number}" for number in range(99))]


def test_keys_by_checksums_are_taken_over(tmp_path: Path) -> None:
    """Files of an earlier version have the keys of each dump."""
    (tmp_path / "keys.json").write_text(json.dumps({"a": "first", "b": "first", "c": "second,first"}))
    taken(tmp_path, "mine-20260101T000000Z", "third")
    assert keys(tmp_path) == ["third", "second", "first"]


@pytest.mark.parametrize("text", ["", "[1]", "7", '["a"'])
def test_a_damaged_file_of_keys_is_not_overwritten(tmp_path: Path, text: str) -> None:
    (tmp_path / "keys.json").write_text(text)
    with pytest.raises(snapshots.Problem, match=r"keys\.json is damaged: put a copy in its place"):
        taken(tmp_path, "mine-20260101T000000Z", "a")
    assert (tmp_path / "keys.json").read_text() == text


def test_what_only_looks_like_a_snapshot_is_left_out(tmp_path: Path) -> None:
    newest = taken(tmp_path, "mine-20260101T000000Z", "a")
    newest.with_suffix(".json").write_text("[]")
    (tmp_path / "other-99999999T999999Z.dump").write_bytes(b"")
    (tmp_path / "gone-20260101T000000Z.dump").symlink_to(tmp_path / "nowhere")
    assert [each["name"] for each in snapshots.found_in(tmp_path)] == ["mine"]


def left(folder: Path) -> list[str]:
    return sorted(path.stem.rpartition("-")[2] for path in folder.glob("*.dump"))


def test_what_was_just_taken_stays_although_the_clock_was_put_back(tmp_path: Path) -> None:
    for year in (2031, 2032, 2033):
        taken(tmp_path, f"auto-reset-{year}0101T000000Z", str(year))
    newest = taken(tmp_path, "auto-reset-20260101T000000Z", "2026")
    assert snapshots.prune(newest, 3) == ["auto-reset-20310101T000000Z"]
    assert left(tmp_path) == ["20260101T000000Z", "20320101T000000Z", "20330101T000000Z"]


def test_what_is_being_restored_stays_although_it_is_the_oldest(tmp_path: Path) -> None:
    """A restore that fails after that would have lost it."""
    dumps = [taken(tmp_path, f"auto-restore-2026010{day}T000000Z", str(day)) for day in range(1, 5)]
    # As a person may name it.
    spare = tmp_path / "link.dump"
    spare.symlink_to(dumps[0])
    assert snapshots.prune(dumps[-1], 3, spare) == []
    assert snapshots.prune(dumps[-1], 3, tmp_path / "elsewhere.dump") == [dumps[0].stem]


def test_all_stay_where_nobody_says_how_many(tmp_path: Path) -> None:
    """Backups are a person's to delete, also those of an instance that is called auto-retry."""
    for day in range(1, 6):
        newest = taken(tmp_path, f"auto-retry-dev-2026010{day}T000000Z", str(day))
    assert snapshots.prune(newest, 0) == []
    assert len(left(tmp_path)) == 5


@pytest.mark.parametrize("links", [True, False])
def test_a_dump_gets_its_name_without_links_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    """As on exFAT, and on many a file system of a network."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    if not links:
        monkeypatch.setattr("os.link", refuse)
    for name in ("part", "other"):
        (tmp_path / name).write_text(name)
    private_files.publish(tmp_path / "part", tmp_path / "dump")
    with pytest.raises(FileExistsError):
        private_files.publish(tmp_path / "other", tmp_path / "dump")
    assert (tmp_path / "dump").read_text() == "part"
