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
    what it was taken of. The keys that encrypted rows of dumps need are in one private file elsewhere, so
    that a rotation of secrets loses no dump and a copied one carries no key.
  - Keys stay when dumps are removed, as a copy of a dump may be anywhere. Dumps share keys, so there is one
    more for each rotation; the newest 100 are kept.
  - Nothing here asks a server. C(record) holds the lock that other changes hold.
options:
  operation:
    description: >-
      C(record) writes what belongs to O(file) and removes the oldest of its name until O(keep) are left.
      C(list) returns all in O(directory). C(find) returns the one that O(name) means, the newest of that name
      or the very file; C(keys) all keys that a dump may need.
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
    description: The keys of now, separated by commas.
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
  description: The keys, the newest first, separated by commas; empty if none are known.
  type: str
"""

NEEDED = {
    "record": ["file", "keys_file"],
    "list": ["directory"],
    "find": ["directory", "name"],
    "keys": ["keys_file"],
}
KEYS_KEPT = 100
STEM = re.compile(r"(?P<name>.+)-(?P<taken>\d{8}T\d{6}Z)")


def found_in(directory: Path) -> list[dict[str, Any]]:
    """Return the snapshots of a folder, the newest first; the newest of a name is called by it alone."""
    now, snapshots = datetime.now(UTC), []
    for path in directory.glob("*.dump") if directory.is_dir() else []:
        if not (match := STEM.fullmatch(path.stem)):
            continue
        try:
            taken = datetime.strptime(match["taken"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            size = path.stat().st_size
        except (ValueError, FileNotFoundError):
            continue  # a name that only looks like one, a link to nowhere, or one that was just pruned
        own = {"name": match["name"], "stem": path.stem, "file": str(path), "taken": taken.isoformat()}
        own |= {"age": int((now - taken).total_seconds()), "size": size}
        snapshots.append(own | _about(path) | own)
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
        about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return about if isinstance(about, dict) else {}


def meant(directory: Path, name: str) -> str:
    """Return the path of the snapshot that a person means, empty if there is none."""
    for each in found_in(directory):
        if name in (each["name"], Path(each["file"]).stem):
            return str(each["file"])
    return ""


def known_keys(keys_file: Path) -> list[str]:
    """Return all keys that a dump may need, the newest first. Raises Problem if the file is damaged."""
    try:
        known = json.loads(keys_file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except ValueError:
        known = None
    # Before, the keys were those of each dump, by its checksum.
    known = list(known.values())[::-1] if isinstance(known, dict) else known
    if not isinstance(known, list) or not all(isinstance(each, str) for each in known):
        raise Problem(f"{keys_file} is damaged: put a copy in its place, or remove it and lose its keys")
    return [key for each in known for key in each.split(",")]


def record(file: Path, keys_file: Path, keys: str, about: Mapping[str, Any]) -> None:
    """Write what belongs to a dump."""
    private_files.write(file.with_suffix(".json"), json.dumps(about) + "\n")
    private_files.make_parents(keys_file.parent)
    with private_files.locked(keys_file.parent):
        known = list(dict.fromkeys([*keys.split(","), *known_keys(keys_file)]))[:KEYS_KEPT]
        private_files.write(keys_file, json.dumps(known, indent=1) + "\n")


def prune(file: Path, keep: int, spare: Path | None = None) -> list[str]:
    """Remove the oldest dumps of the name that ``file`` has; return what was removed.

    ``file`` is one of the ``keep`` that stay, whatever moment its name says: a clock may have been put back.

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
    for path in removed:
        for each in (path, path.with_suffix(".json"), path.with_name(path.name + ".sha256")):
            each.unlink(missing_ok=True)
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
        if operation == "keys":
            return {"keys": ",".join(known_keys(Path(args["keys_file"])))}
        if self.dry_run:
            return {"skipped": True}
        with lock.exclusive(args["lock"]):
            # A symbolic link stays one: what it points to is replaced.
            keys_file = Path(os.path.realpath(args["keys_file"]))
            file = Path(args["file"])
            record(file, keys_file, args["keys"], args["about"])
            spare = Path(args["spare"]) if args["spare"] else None
            return {"changed": True, "removed": prune(file, args["keep"], spare)}
