"""Dumps of a PostgreSQL database as files: written whole or not at all, and checked before they are used."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Any

from ansible_collections.dashtam.stack.plugins.module_utils import private_files
from ansible_collections.dashtam.stack.plugins.module_utils.local_action import Problem
from ansible_collections.dashtam.stack.plugins.module_utils.postgres_server import Server

MAGIC = b"PGDMP"


def dump(server: Server, database: str, folder: Path, name: str) -> dict[str, Any]:
    """Dump, verify, and only then give the file its name."""
    if not server.has(database):
        raise Problem(f"there is no database {database} to back up")
    private_files.make_parents(folder)
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
        private_files.give_to_owner_of(folder, part)
        if path.exists():
            raise Problem(f"{path} was written in this same second, and is kept; run this again")
        private_files.write(sums_of(path), f"{digest}  {path.name}\n")
        private_files.publish(part, path)
    except BaseException:
        if not path.exists():
            sums_of(path).unlink(missing_ok=True)
        raise
    finally:
        part.unlink(missing_ok=True)
    return {"file": str(path), "size": path.stat().st_size, "rows": rows, "changed": True}


def export(server: Server, database: str, path: Path) -> dict[str, Any]:
    """Write the database as SQL. Raises Problem if there is such a file; a failure leaves none."""
    if path.exists():
        raise Problem(f"{path} exists; nothing was written")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, part_name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    part = Path(part_name)
    try:
        with os.fdopen(descriptor, "w+b", buffering=0) as file:
            server.export(database, file)
            os.fsync(descriptor)
        private_files.publish(part, path)
    finally:
        part.unlink(missing_ok=True)
    return {"file": str(path), "size": path.stat().st_size, "changed": True}


def sums_of(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


@contextmanager
def opened(path: Path) -> Iterator[FileIO]:
    """Open a dump. Raises Problem if it is no file that can be read."""
    try:
        # A pipe or a terminal would be waited for.
        if not stat.S_ISREG(path.stat().st_mode):
            raise Problem(f"{path} is not a file")
        # Without a buffer, as the programs that it is fed to move its position.
        file = path.open("rb", buffering=0)
    except OSError as error:
        raise Problem(f"{path} cannot be read: {error.strerror}") from None
    with file:
        yield file


def check(
    server: Server,
    database: str,
    path: Path,
    dump_file: FileIO,
    unverified: bool = False,
    foreign: bool = False,
) -> tuple[dict[str, int], list[str]]:
    """Return a dump's number of rows for each table, and its extensions.

    :param unverified: accept a dump whose checksum file is missing.
    :param foreign: accept one of a database with another name, too.

    Raises Problem unless the file is a whole dump of the database.
    """
    if dump_file.read(len(MAGIC)) != MAGIC:
        raise Problem(f"{path} is not a dump in pg_dump's custom format")
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
    if origin is None or (origin[1] != database and not foreign):
        raise Problem(f"{path} is a dump of the database {origin and origin[1]}, not of {database}")
    return rows, re.findall(r"^\d+; \d+ \d+ EXTENSION - (\S+)", contents, re.MULTILINE)
