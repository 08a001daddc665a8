"""Keep what belongs to dumps beside them: what they were taken of, and the keys that their rows need."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from ansible_collections.dashtam.stack.plugins.module_utils import engine, lock, private_files
from ansible_collections.dashtam.stack.plugins.module_utils.local_action import LocalAction, Problem

DOCUMENTATION = """
name: snapshots
short_description: Record, list and find dumps by a name
description:
  - A snapshot is what the role C(backup) has written, C(<name>-<UTC time>.dump). Beside it is a C(.json) with
    what it was taken of. The keys that its encrypted rows need are in one private file elsewhere, by the
    dump's checksum, so that a rotation of secrets loses no snapshot and a copied dump carries no key.
  - Nothing here asks a server. C(record) and C(prune) hold the lock that other changes hold.
options:
  operation:
    description: >-
      C(record) writes what belongs to O(file) and removes the oldest of its name, and their keys, until
      O(keep) are left. C(list) returns all in O(directory). C(find) returns the one that O(name) means, the
      newest of that name or the very file; C(keys) the keys of O(file).
    type: str
    choices: [record, list, find, keys]
    required: true
  directory:
    description: Where the snapshots are.
    type: str
  file:
    description: A dump.
    type: str
  name:
    description: What a person calls it.
    type: str
  keys_file:
    description: The private file with the keys.
    type: str
  keys:
    description: The keys of now.
    type: str
    default: ""
  about:
    description: What C(list) returns of each, besides C(name), C(file), C(taken), C(age) and C(size).
    type: dict
    default: {}
  keep:
    description: How many dumps of the name of O(file) stay, O(file) among them; 0 for all.
    type: int
    default: 0
  spare:
    description: A dump that stays in any case, as something is being made of it.
    type: path
    default: ""
  lock:
    description: The labels whose containers one run at a time changes.
    type: dict
    default: {}
"""

RETURN = """
snapshots:
  description: The newest first.
  type: list
file:
  description: The path that C(find) found, empty if there is none.
  type: str
keys:
  description: The keys, empty if none are known.
  type: str
"""

NEEDED = {
    "record": ["file", "keys_file"],
    "list": ["directory"],
    "find": ["directory", "name"],
    "keys": ["file", "keys_file"],
}
STEM = re.compile(r"(?P<name>.+)-(?P<taken>\d{8}T\d{6}Z)")


def found_in(directory: Path) -> list[dict[str, Any]]:
    """Return the snapshots of a folder, the newest first; the newest of a name is called by it alone."""
    now, snapshots = datetime.now(UTC), []
    for path in directory.glob("*.dump") if directory.is_dir() else []:
        if not (match := STEM.fullmatch(path.stem)):
            continue
        taken = datetime.strptime(match["taken"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        snapshots.append(
            {"name": match["name"], "stem": path.stem, "file": str(path), "taken": taken.isoformat()}
            | {"age": int((now - taken).total_seconds()), "size": path.stat().st_size}
            | _about(path)
        )
    snapshots.sort(key=lambda each: each["taken"], reverse=True)
    named: set[str] = set()
    for each in snapshots:
        stem = each.pop("stem")
        if each["name"] in named:
            each["name"] = stem
        named.add(each["name"])
    return snapshots


def _about(path: Path) -> dict[str, Any]:
    try:
        about: dict[str, Any] = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return about


def meant(directory: Path, name: str) -> str:
    """Return the path of the snapshot that a person means, empty if there is none."""
    for each in found_in(directory):
        if name in (each["name"], Path(each["file"]).stem):
            return str(each["file"])
    return ""


def _digest(file: Path) -> str:
    sums = file.with_name(file.name + ".sha256")
    return (sums.read_text(encoding="utf-8").split() or [""])[0] if sums.is_file() else ""


def _known(keys_file: Path) -> dict[str, str]:
    try:
        known: dict[str, str] = json.loads(keys_file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return known


def record(file: Path, keys_file: Path, keys: str, about: Mapping[str, Any]) -> None:
    """Write what belongs to a dump."""
    private_files.write(file.with_suffix(".json"), json.dumps(about) + "\n")
    private_files.make_parents(keys_file.parent)
    with private_files.locked(keys_file.parent):
        known = _known(keys_file) | {_digest(file): keys}
        private_files.write(keys_file, json.dumps(known, indent=1) + "\n")


def prune(file: Path, keep: int, keys_file: Path, spare: Path | None = None) -> list[str]:
    """Remove the oldest dumps of the name that ``file`` has, and their keys; return what was removed.

    ``file`` is one of the ``keep`` that stay, whatever moment its name says: a clock may have been put back.
    The keys of a dump that a person moved stay: it may come back.

    :param keep: how many stay; 0 for all.
    :param spare: a dump that stays in any case.
    """
    match = STEM.fullmatch(file.stem)
    if not match or not keep:
        return []
    others = sorted(
        path
        for path in file.parent.glob(f"{match['name']}-*.dump")
        if path != file and (other := STEM.fullmatch(path.stem)) and other["name"] == match["name"]
    )
    removed = [path for path in others[: max(len(others) - keep + 1, 0)] if not _same(path, spare)]
    gone = {_digest(path) for path in removed}
    for path in removed:
        for each in (path, path.with_suffix(".json"), path.with_name(path.name + ".sha256")):
            each.unlink(missing_ok=True)
    # Two dumps of the same data are the same.
    if gone := gone - {_digest(path) for path in file.parent.glob("*.dump")}:
        with private_files.locked(keys_file.parent):
            known = {digest: keys for digest, keys in _known(keys_file).items() if digest not in gone}
            private_files.write(keys_file, json.dumps(known, indent=1) + "\n")
    return [path.stem for path in removed]


def _same(path: Path, other: Path | None) -> bool:
    return other is not None and other.exists() and path.samefile(other)


class ActionModule(LocalAction):
    """Run one operation; see DOCUMENTATION."""

    rules: ClassVar[Any] = {"required_if": [("operation", name, options) for name, options in NEEDED.items()]}

    def act(self, args: dict[str, Any]) -> dict[str, Any]:
        """Return the module-like result, see RETURN."""
        try:
            return self._operate(args)
        except (engine.EngineError, OSError, ValueError) as error:
            raise Problem(f"{args['operation']}: {error}") from None

    def _operate(self, args: dict[str, Any]) -> dict[str, Any]:
        operation = args["operation"]
        if operation == "list":
            return {"snapshots": found_in(Path(args["directory"]))}
        if operation == "find":
            return {"file": meant(Path(args["directory"]), args["name"])}
        file = Path(args["file"])
        if operation == "keys":
            return {"keys": _known(Path(args["keys_file"])).get(_digest(file), "")}
        if self.dry_run:
            return {"skipped": True}
        with lock.exclusive(args["lock"]):
            # A symbolic link stays one: what it points to is replaced.
            keys_file = Path(os.path.realpath(args["keys_file"]))
            record(file, keys_file, args["keys"], args["about"])
            spare = Path(args["spare"]) if args["spare"] else None
            return {"changed": True, "removed": prune(file, args["keep"], keys_file, spare)}
