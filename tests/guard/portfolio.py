"""A database of the application with rows in it, its dumps, and their restore as the playbook does it."""

import asyncio
import hashlib
import os
import shlex
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from ansible_collections.dashtam.stack.plugins.module_utils.dump_files import sums_of
from sqlalchemy.exc import SQLAlchemyError

from src.core.config import ConfigurationError, OwnerSettings
from src.core.config import load as load_settings
from src.core.init_db import init_db as initialise
from src.core.schema.wait import DatabaseUnavailableError
from tests import inside
from tests.by_path import load
from tests.guard.scratch import Database

archive = load("plugins/action/postgres_archive.py")

NAME = "portfolio"
# What the administrator would lose, and what a dump brings back.
ROWS = """
    INSERT INTO users (email, password_hash, name)
    SELECT number || '@x.org', 'hash', 'Ann' FROM generate_series(1, 500) AS number
"""
AUDITED = "INSERT INTO provider_audit_logs (action, outcome) VALUES ('connect', 'success')"
FINGERPRINT = """
    SELECT (SELECT oid FROM pg_database WHERE datname = current_database()),
           (SELECT array_agg(oid ORDER BY oid) FROM pg_class WHERE relnamespace = 'public'::regnamespace),
           (SELECT md5(string_agg(u::text, '' ORDER BY id)) FROM users u),
           (SELECT array_agg(datname ORDER BY datname) FROM pg_database),
           (SELECT array_agg(rolname || rolsuper ORDER BY rolname) FROM pg_roles)
"""
CONTENT = """
    SELECT (SELECT md5(string_agg(u::text, '' ORDER BY id)) FROM users u),
           (SELECT md5(string_agg(a::text, '' ORDER BY id)) FROM provider_audit_logs a),
           (SELECT string_agg(version_num, ',') FROM alembic_version)
"""
PROGRAM = "COPY (SELECT 1) TO PROGRAM 'touch /tmp/run-by-the-dump'"


def init_db(database: Database, name: str) -> str:
    """What `python -m src.core.init_db` says where it fails; nothing where the database is right.

    In this process: starting Python takes longer than all that it does.
    """
    environ = {
        name_: f"{url.rpartition('/')[0]}/{name}" for name_, url in database.environ.items() if "URL" in name_
    }
    with mock.patch.dict(os.environ, environ):
        settings = load_settings(OwnerSettings)
    try:
        # In a thread of its own, because a test may be inside a loop already.
        with ThreadPoolExecutor(1) as thread:
            return "; ".join(thread.submit(asyncio.run, initialise(settings)).result())
    except (ConfigurationError, DatabaseUnavailableError, SQLAlchemyError) as error:
        return str(error).splitlines()[0]


@dataclass
class Portfolio:
    """A migrated database with rows, on a server with an administrator that nothing in a dump may become."""

    database: Database
    engine: Any
    folder: Path

    def psql(self, sql: str, database: str = NAME) -> str:
        command = ["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database, "-c", sql]
        return inside.said(self.database.server.container, command, user="postgres").strip()

    def sh(self, script: str) -> bytes:
        """What a script prints, run as the administrator inside."""
        return inside.output(self.database.server.container, ["sh", "-ec", script], user="postgres")

    def dump(self, *options: str, source: str = NAME) -> Path:
        """By pg_dump itself; with the name of the portfolio, whichever database it is of."""
        return self.written(self.sh(shlex.join(["pg_dump", "-Fc", *options, "-d", source])))

    def written(self, data: bytes) -> Path:
        """A dump that nobody has made a checksum of."""
        path = self.folder / f"{NAME}.dump"
        sums_of(path).unlink(missing_ok=True)
        path.write_bytes(data)
        return path

    def summed(self, data: bytes) -> Path:
        """A whole dump's file with its checksum, in which something is different since."""
        whole = self.dump()
        digest = hashlib.sha256(whole.read_bytes()).hexdigest()
        path = self.written(data)
        sums_of(path).write_text(f"{digest}  {path.name}\n")
        return path

    def of_another(
        self, *statements: str, template: str = "template0", options: tuple[str, ...] = (), create: str = ""
    ) -> Path:
        """A dump of a database that has this very name; its length keeps the header's form."""
        other = "another__"
        assert len(other) == len(NAME)
        commands = " ".join(f"-c {shlex.quote(statement)}" for statement in statements)
        psql = "psql -qAtX -v ON_ERROR_STOP=1"
        script = f"""
            dropdb --if-exists {other}
            {psql} -d postgres -c {shlex.quote(f"CREATE DATABASE {other} TEMPLATE {template} {create}")}
            {f"{psql} -d {other} {commands} >&2" if statements else ""}
            {shlex.join(["pg_dump", "-Fc", *options, "-d", other])}
            dropdb {other}
        """
        return self.written(self.sh(script).replace(other.encode(), NAME.encode()))

    def altered(self, *statements: str, options: tuple[str, ...] = ()) -> Path:
        """A dump of a copy of the portfolio that something was done to."""
        return self.of_another(*statements, template=NAME, options=options)

    def restore(self, path: Path, unverified: bool = True) -> None:
        """As the playbook does it. Raises Problem."""
        with archive.opened(path) as file:
            archive.restore_beside(self.engine, NAME, path, file, unverified)
        try:
            if said := init_db(self.database, archive.postgres_restore.beside(NAME)):
                raise archive.Problem(said)
            archive.compare(self.engine, NAME, path)
            archive.postgres_restore.replace(self.engine, NAME)
        finally:
            # Not the reference, which is the same for all.
            self.engine.drop(archive.postgres_restore.beside(NAME))
