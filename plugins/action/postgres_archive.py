"""Dump a PostgreSQL database out of its container, check a dump, put one back.

Runs in the controller's process. Bytes go through `docker exec`: no file is left in the container, and
nothing there but psql, pg_dump and pg_restore is used, as `postgres` over the socket.

dump     pg_dump's custom format into `<directory>/<name>-<UTC time>.dump` (0600) and its SHA-256 beside it
         (`sha256sum -c` reads it). The dump is read back through pg_restore to its last byte before it gets
         its name: a dump with a name is a whole one.
check    Whether a file is a whole dump of this very database. Changes nothing.
restore  Checks it, restores it into a new database beside the present one, compares each table's number of
         rows with the dump's, swaps the two by name in one transaction and drops the old one. Until the swap
         the present database is not touched; a failure at any step removes the new one. Owner, privileges,
         settings and the extensions' owners are those of the database that is replaced. Its sessions are
         ended for the swap: stop what reconnects.

A dump is a program that PostgreSQL runs as its administrator: restore only your own.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from ansible.plugins.action import ActionBase
from ansible_collections.dashtam.stack.plugins.module_utils import private_files
from ansible_collections.dashtam.stack.plugins.module_utils.interruption import interruptible
from ansible_collections.dashtam.stack.plugins.module_utils.postgres_server import Problem, Server, quoted

MAGIC = b"PGDMP"
SWAP_ATTEMPTS = 10

# psql reads it in the present database; what it prints makes the new one like it.
LIKE_THE_PRESENT = r"""
SELECT format('ALTER DATABASE %I OWNER TO %I', :'new', pg_get_userbyid(datdba))
FROM pg_database WHERE datname = :'present';
SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', :'new');
SELECT format('GRANT %s ON DATABASE %I TO %s%s', privilege_type, :'new',
              CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
              CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba))) WHERE datname = :'present';
-- Lists are stored quoted already; as one literal they would become a single element.
SELECT format(CASE WHEN setrole = 0 THEN 'ALTER DATABASE %1$I SET %3$s TO %4$s'
                   ELSE 'ALTER ROLE %2$I IN DATABASE %1$I SET %3$s TO %4$s' END,
              :'new', pg_get_userbyid(setrole), split_part(setting, '=', 1),
              CASE WHEN split_part(setting, '=', 1) IN ('search_path', 'temp_tablespaces',
                             'local_preload_libraries', 'session_preload_libraries')
                   THEN substr(setting, strpos(setting, '=') + 1)
                   ELSE quote_literal(substr(setting, strpos(setting, '=') + 1)) END)
FROM pg_db_role_setting JOIN pg_database ON pg_database.oid = setdatabase, unnest(setconfig) AS setting
WHERE datname = :'present';
"""
# Made before the restore, which would make them the administrator's: who owns them must be able to drop them.
EXTENSIONS = r"""
SELECT format('SET ROLE %I; CREATE EXTENSION IF NOT EXISTS %I', pg_get_userbyid(extowner), extname)
FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
WHERE extname = ANY (string_to_array(:'extensions', ',')) AND nspname = 'public';
"""


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


def check(
    server: Server, database: str, path: Path, dump_file: IO[bytes]
) -> tuple[dict[str, int], list[str]]:
    """Raise Problem unless the file is a whole dump of the database; its rows and its extensions."""
    if dump_file.read(len(MAGIC)) != MAGIC:
        raise Problem(f"{path} is no dump in pg_dump's custom format")
    sums = sums_of(path)
    if sums.is_file():
        dump_file.seek(0)
        if sums.read_text().split()[:1] != [hashlib.file_digest(dump_file, "sha256").hexdigest()]:
            raise Problem(f"{path} is damaged: it is not what {sums.name} says; take another dump")
    try:
        contents = server.run(["pg_restore", "--list"], dump_file)
        rows = server.rows_in(dump_file)
    except Problem as problem:
        raise Problem(f"{path} is damaged or not for this PostgreSQL: {problem}") from None
    origin = re.search(r"^;\s+dbname: (.*)$", contents, re.MULTILINE)
    if origin is None or origin[1] != database:
        raise Problem(f"{path} is a dump of the database {origin and origin[1]}, not of {database}")
    return rows, re.findall(r"^\d+; \d+ \d+ EXTENSION - (\S+)", contents, re.MULTILINE)


def restore(server: Server, database: str, path: Path, dump_file: IO[bytes]) -> dict[str, Any]:
    """Restore beside, compare, swap."""
    rows, extensions = check(server, database, path, dump_file)
    if not server.has(database):
        raise Problem(f"there is no database {database} to replace; start the environment first")
    new, old = f"{database}_restoring", f"{database}_before_restore"
    # An interrupted run may have left either. The old one had been replaced by a swap that was complete.
    for leftover in (new, old):
        server.drop(leftover)
    try:
        server.sql("postgres", f"CREATE DATABASE {quoted(new)} TEMPLATE template0")
        server.sql(
            "postgres", *server.query(database, LIKE_THE_PRESENT, present=database, new=new).splitlines()
        )
        server.sql(new, *server.query(database, EXTENSIONS, extensions=",".join(extensions)).splitlines())
        server.run(["pg_restore", "-U", "postgres", "--exit-on-error", "-d", new], dump_file)
        if (restored := server.rows_of(new, rows)) != rows:
            wrong = next(table for table in rows if restored.get(table) != rows[table])
            raise Problem(f"{wrong} has {restored.get(wrong)} rows where the dump has {rows[wrong]}")
        server.sql(new, "ANALYZE")
        swap(server, database, new, old)
    except Problem as problem:
        raise Problem(f"{path} could not be restored, {database} is as it was: {problem}") from None
    finally:
        server.drop(new)
    server.drop(old)
    return {"rows": rows, "changed": True}


def swap(server: Server, database: str, new: str, old: str) -> None:
    """Exchange the names. A rename wants the database to itself, and a client may reconnect: try again."""
    sessions = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IN (:'present', :'new') "
        "AND pid <> pg_backend_pid();"
    )
    for attempt in range(SWAP_ATTEMPTS):
        server.query("postgres", sessions, present=database, new=new)
        try:
            server.sql(
                "postgres",
                f"BEGIN; ALTER DATABASE {quoted(database)} RENAME TO {quoted(old)}; "
                f"ALTER DATABASE {quoted(new)} RENAME TO {quoted(database)}; COMMIT",
            )
        except Problem as problem:
            if attempt == SWAP_ATTEMPTS - 1:
                raise Problem(
                    f"somebody stays connected to it ({problem}); stop that and try again"
                ) from None
        else:
            return


class ActionModule(ActionBase):
    """Run one operation; see the module's description."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(
            {
                "operation": {"type": "str", "choices": ["dump", "check", "restore"], "required": True},
                "container": {"type": "str", "required": True},
                "database": {"type": "str", "required": True},
                "directory": {"type": "str"},
                "name": {"type": "str"},
                "file": {"type": "str"},
            },
            required_if=[
                ("operation", "dump", ["directory", "name"]),
                ("operation", "check", ["file"]),
                ("operation", "restore", ["file"]),
            ],
        )
        if self._task.check_mode and args["operation"] != "check":
            return result | {"skipped": True, "changed": False}
        try:
            with interruptible():
                return result | self._operate(args)
            message = "interrupted"
        except Problem as problem:
            message = str(problem)
        except OSError as error:
            message = f"{error.filename}: {error.strerror}"
        return result | {"failed": True, "msg": message}

    @staticmethod
    def _operate(args: dict[str, Any]) -> dict[str, Any]:
        server, database = Server(args["container"]), args["database"]
        if args["operation"] == "dump":
            return dump(server, database, Path(args["directory"]), args["name"])
        path = Path(args["file"])
        # Without a buffer, as the programs that it is fed to move its position.
        with path.open("rb", buffering=0) as dump_file:
            if args["operation"] == "restore":
                return restore(server, database, path, dump_file)
            rows, _ = check(server, database, path, dump_file)
            return {"rows": rows, "changed": False}
