"""Dump a PostgreSQL database out of its container, check a dump, put one back.

Runs in the controller's process. Bytes go through `docker exec`: no file is left in the container, and
nothing there but psql, pg_dump and pg_restore is used.

dump     pg_dump's custom format into `<directory>/<name>-<UTC time>.dump` (0600) and its SHA-256 beside it
         (`sha256sum -c` reads it). The dump is read back through pg_restore to its last byte before it gets
         its name: a dump with a name is a whole one.
check    Whether a file is a whole dump of this very database, as its checksum says. Changes nothing.
reference
         Makes an empty database, `<database>_reference`, with the owner, privileges, settings and extensions
         of the present one. The application's migrations make of it what a restored one is compared with.
beside   Checks it and restores it into `<database>_restoring`, as a role that can do nothing else, and
         compares: every table is in the dump with its rows, and each has as many as the dump. With a
         reference, what runs by itself must be in that, too. A failure leaves nothing. Owner, privileges and
         settings are those of the present database; all that is in the new one belongs to its owner.
compare  What was restored has exactly what the reference has: tables, what runs by itself, privileges.
replace  Swaps the two by name in one transaction and drops the old one. Its sessions are ended for that:
         stop what reconnects.
discard  Removes what is left of `beside` and `reference`.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.dashtam.stack.plugins.module_utils import lock, postgres_restore, private_files
from ansible_collections.dashtam.stack.plugins.module_utils.interruption import interruptible
from ansible_collections.dashtam.stack.plugins.module_utils.postgres_server import Problem, Server

MAGIC = b"PGDMP"
# Each with the arguments that it needs beside the container and the database.
OPERATIONS: dict[str, list[str]] = {
    "dump": ["directory", "name"],
    "check": ["file"],
    "reference": [],
    "beside": ["file"],
    "compare": ["file"],
    "replace": [],
    "discard": [],
}


def dump(server: Server, database: str, folder: Path, name: str) -> dict[str, Any]:
    """Dump, verify, and only then give the file its name."""
    if not server.has(database):
        raise Problem(f"there is no database {database} to back up")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    path = folder / f"{name}-{moment}.dump"
    descriptor, part_name = tempfile.mkstemp(dir=folder, prefix=f".{path.name}.")
    part = Path(part_name)
    try:
        with os.fdopen(descriptor, "w+b", buffering=0) as file:
            server.dump(database, file)
            os.fsync(descriptor)
            rows = server.rows_in(file)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        private_files.write(sums_of(path), f"{digest}  {path.name}\n")
        path.hardlink_to(part)  # unlike a rename it never replaces a dump of the same second
    except BaseException:
        if not path.exists():
            sums_of(path).unlink(missing_ok=True)
        raise
    finally:
        part.unlink(missing_ok=True)
    return {"file": str(path), "size": path.stat().st_size, "rows": rows, "changed": True}


def sums_of(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


@contextmanager
def opened(path: Path) -> Iterator[FileIO]:
    """Open a dump. Raises Problem if it is no file that can be read."""
    try:
        # A pipe or a terminal would be waited for.
        if not stat.S_ISREG(path.stat().st_mode):
            raise Problem(f"{path} is no file")
        # Without a buffer, as the programs that it is fed to move its position.
        file = path.open("rb", buffering=0)
    except OSError as error:
        raise Problem(f"{path} cannot be read: {error.strerror}") from None
    with file:
        yield file


def check(
    server: Server, database: str, path: Path, dump_file: FileIO, unverified: bool = False
) -> tuple[dict[str, int], list[str]]:
    """Return a dump's number of rows for each table, and its extensions.

    :param unverified: accept a dump whose checksum file is missing.

    Raises Problem unless the file is a whole dump of the database.
    """
    if dump_file.read(len(MAGIC)) != MAGIC:
        raise Problem(f"{path} is no dump in pg_dump's custom format")
    sums = sums_of(path)
    if sums.is_file():
        dump_file.seek(0)
        if sums.read_text().split()[:1] != [hashlib.file_digest(dump_file, "sha256").hexdigest()]:
            raise Problem(f"{path} is damaged: it is not what {sums.name} says; take another dump")
    elif not unverified:
        raise Problem(
            f"{path} has no checksum beside it ({sums.name}), so nothing shows whether it is damaged. "
            "To restore it anyway: -e backup_unverified=true"
        )
    try:
        contents = server.run(["pg_restore", "--list"], dump_file)
        rows = server.rows_in(dump_file)
    except Problem as problem:
        raise Problem(f"{path} is damaged or not for this PostgreSQL: {problem}") from None
    origin = re.search(r"^;\s+dbname: (.*)$", contents, re.MULTILINE)
    if origin is None or origin[1] != database:
        raise Problem(f"{path} is a dump of the database {origin and origin[1]}, not of {database}")
    return rows, re.findall(r"^\d+; \d+ \d+ EXTENSION - (\S+)", contents, re.MULTILINE)


def restore_beside(
    server: Server, database: str, path: Path, dump_file: FileIO, unverified: bool = False
) -> dict[str, int]:
    """Check a dump and restore it beside the database; return its rows.

    Raises Problem, and nothing is left then.
    """
    rows, extensions = check(server, database, path, dump_file, unverified)
    try:
        postgres_restore.restore_beside(server, database, dump_file, rows, extensions)
    except Problem as problem:
        raise Problem(f"{path} could not be restored, {database} is as it was: {problem}") from None
    return rows


def compare(server: Server, database: str, path: Path) -> None:
    """Raise Problem unless what was restored from a dump has exactly what the reference has."""
    try:
        postgres_restore.compare(server, database)
    except Problem as problem:
        raise Problem(
            f"{path} is not a dump of this application, {database} is as it was: {problem}"
        ) from None


class ActionModule(ActionBase):
    """Run one operation; see the module's description."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(
            {
                "operation": {"type": "str", "choices": list(OPERATIONS), "required": True},
                "container": {"type": "str", "required": True},
                "database": {"type": "str", "required": True},
                "directory": {"type": "str"},
                "name": {"type": "str"},
                "file": {"type": "str"},
                "unverified": {"type": "bool", "default": False},
                "lock": {"type": "dict", "default": {}},
            },
            required_if=[("operation", name, needed) for name, needed in OPERATIONS.items() if needed],
        )
        if self._task.check_mode and args["operation"] != "check":
            return result | {"skipped": True, "changed": False}
        message = "interrupted"
        try:
            with interruptible(), lock.exclusive(args["lock"]) if args["lock"] else nullcontext():
                return result | self._operate(args)
        except Problem as problem:
            message = str(problem)
        except OSError as error:
            message = f"{error.filename}: {error.strerror}"
        return result | {"failed": True, "msg": message}

    @staticmethod
    def _operate(args: dict[str, Any]) -> dict[str, Any]:
        server, database, operation = Server(args["container"]), args["database"], args["operation"]
        if operation == "dump":
            return dump(server, database, Path(args["directory"]), args["name"])
        if operation == "reference":
            postgres_restore.make_reference(server, database)
            return {"changed": False}
        if operation == "replace":
            postgres_restore.replace(server, database)
            return {"changed": True}
        if operation == "discard":
            postgres_restore.discard(server, database)
            return {"changed": False}
        path = Path(args["file"])
        if operation == "compare":
            compare(server, database, path)
            return {"changed": False}
        with opened(path) as dump_file:
            if operation == "check":
                rows, _ = check(server, database, path, dump_file, args["unverified"])
            else:
                rows = restore_beside(server, database, path, dump_file, args["unverified"])
            return {"rows": rows, "changed": operation != "check"}
