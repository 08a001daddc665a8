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
         settings are those of the present database; all that is in the new one belongs to its owner. With
         `foreign`, the file may come from another server: plain SQL too, of any database's name, without a
         checksum; the privileges are those of the present database.
compare  What was restored has exactly what the reference has: tables, what runs by itself, privileges.
replace  Swaps the two by name in one transaction and drops the old one. Its sessions are ended for that:
         stop what reconnects.
discard  Removes what is left of `beside` and `reference`.
empty    Drops the database; whoever declares it makes it again.
export   The database as SQL, without owners and privileges, into a new `file` (0600).

`lock` names the containers by their labels: one run at a time changes them (module_utils/lock.py).
"""

from __future__ import annotations

import tempfile
from contextlib import nullcontext
from io import FileIO
from pathlib import Path
from typing import Any, ClassVar

from ansible_collections.dashtam.stack.plugins.module_utils import (
    engine,
    lock,
    postgres_restore,
    postgres_sql,
)
from ansible_collections.dashtam.stack.plugins.module_utils.dump_files import (
    MAGIC,
    check,
    dump,
    export,
    opened,
)
from ansible_collections.dashtam.stack.plugins.module_utils.interruption import interruptible
from ansible_collections.dashtam.stack.plugins.module_utils.local_action import LocalAction, Problem
from ansible_collections.dashtam.stack.plugins.module_utils.postgres_server import Server

# Each with the arguments that it needs beside the container and the database.
OPERATIONS: dict[str, list[str]] = {
    "dump": ["directory", "name"],
    "check": ["file"],
    "reference": [],
    "beside": ["file"],
    "compare": ["file"],
    "replace": [],
    "discard": [],
    "empty": [],
    "export": ["file"],
}


def restore_beside(
    server: Server,
    database: str,
    path: Path,
    dump_file: FileIO,
    unverified: bool = False,
    foreign: bool = False,
) -> dict[str, int]:
    """Check a dump and restore it beside the database; return its rows.

    :param foreign: accept SQL, and a dump of a database with another name; see the module's description.

    Raises Problem, and nothing is left then.
    """
    if foreign and dump_file.read(len(MAGIC)) != MAGIC:
        dump_file.seek(0)
        with tempfile.TemporaryFile() as script:
            rows, extensions = postgres_sql.prepare(path, dump_file, script)
            return _beside(server, database, path, postgres_restore.Source(script, rows, extensions, "sql"))
    dump_file.seek(0)
    rows, extensions = check(server, database, path, dump_file, unverified or foreign, foreign)
    form: postgres_restore.Form = "foreign" if foreign else "own"
    return _beside(server, database, path, postgres_restore.Source(dump_file, rows, extensions, form))


def _beside(server: Server, database: str, path: Path, source: postgres_restore.Source) -> dict[str, int]:
    try:
        return postgres_restore.restore_beside(server, database, source)
    except Problem as problem:
        raise Problem(f"{path} could not be restored; {database} is unchanged: {problem}") from None


def compare(server: Server, database: str, path: Path) -> None:
    """Raise Problem unless what was restored from a dump has exactly what the reference has."""
    try:
        postgres_restore.compare(server, database)
    except Problem as problem:
        raise Problem(
            f"{path} is not a dump of this application; {database} is unchanged: {problem}"
        ) from None


class ActionModule(LocalAction):
    """Run one operation; see the module's description."""

    arguments: ClassVar[Any] = {
        "operation": {"type": "str", "choices": list(OPERATIONS), "required": True},
        "container": {"type": "str", "required": True},
        "database": {"type": "str", "required": True},
        "directory": {"type": "str"},
        "name": {"type": "str"},
        "file": {"type": "str"},
        "unverified": {"type": "bool", "default": False},
        "foreign": {"type": "bool", "default": False},
        "lock": {"type": "dict", "default": {}},
    }
    rules: ClassVar[Any] = {
        "required_if": [("operation", name, needed) for name, needed in OPERATIONS.items() if needed]
    }

    def act(self, args: dict[str, Any]) -> dict[str, Any]:
        if self.dry_run and args["operation"] != "check":
            return {"skipped": True}
        try:
            with interruptible(), lock.exclusive(args["lock"]) if args["lock"] else nullcontext():
                return self._operate(args)
        except engine.EngineError as error:
            raise Problem(str(error)) from None
        except OSError as error:
            raise Problem(f"{error.filename}: {error.strerror}") from None
        raise Problem("interrupted")

    @staticmethod
    def _operate(args: dict[str, Any]) -> dict[str, Any]:
        server, database, operation = Server(args["container"]), args["database"], args["operation"]
        if operation == "dump":
            return dump(server, database, Path(args["directory"]), args["name"])
        if operation == "reference":
            postgres_restore.make_reference(server, database)
            return {}
        if operation == "replace":
            postgres_restore.replace(server, database)
            return {"changed": True}
        if operation == "discard":
            postgres_restore.discard(server, database)
            return {}
        if operation == "empty":
            server.drop(database)
            return {"changed": True}
        path = Path(args["file"])
        if operation == "export":
            return export(server, database, path)
        if operation == "compare":
            compare(server, database, path)
            return {}
        with opened(path) as dump_file:
            if operation == "check":
                rows, _ = check(server, database, path, dump_file, args["unverified"])
            else:
                accepted = (args["unverified"], args["foreign"])
                rows = restore_beside(server, database, path, dump_file, *accepted)
            return {"rows": rows, "changed": operation != "check"}
