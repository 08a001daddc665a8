"""A database of the application with rows in it, its dumps, and their restore as the playbook does it."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.by_path import ROOT, load
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
    """What the command says where it fails; nothing where the database is right."""
    environ = {
        name_: f"{url.rpartition('/')[0]}/{name}" for name_, url in database.environ.items() if "URL" in name_
    }
    run = subprocess.run(
        [sys.executable, "-m", "src.core.init_db"],
        cwd=ROOT,
        env={"PATH": database.environ["PATH"]} | environ,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return run.stderr + run.stdout if run.returncode else ""


@dataclass
class Portfolio:
    """A migrated database with rows, on a server with an administrator that nothing in a dump may become."""

    database: Database
    engine: Any
    folder: Path

    def psql(self, sql: str, database: str = NAME) -> str:
        command = ["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database, "-c", sql]
        code, output = self.database.server.container.exec_run(command, user="postgres")
        assert code == 0, output.decode()
        return str(output.decode().strip())

    def dump(self, *options: str, source: str = NAME) -> Path:
        """By pg_dump itself; with the name of the portfolio in it, whichever database it is of."""
        path = self.folder / "portfolio.dump"
        command = ["pg_dump", "-U", "postgres", "-Fc", *options, "-d", source]
        code, output = self.database.server.container.exec_run(command, user="postgres")
        assert code == 0, output.decode(errors="replace")
        path.write_bytes(output)
        return path

    def of_another(
        self, *statements: str, template: str = "template0", options: tuple[str, ...] = ()
    ) -> Path:
        """A dump of a database that has this very name."""
        self.psql(f"ALTER DATABASE {NAME} RENAME TO kept", "postgres")
        try:
            self.psql(f"CREATE DATABASE {NAME} TEMPLATE {template.replace(NAME, 'kept')}", "postgres")
            try:
                for statement in statements:
                    self.psql(statement)
                return self.dump(*options)
            finally:
                self.psql(f"DROP DATABASE {NAME} WITH (FORCE)", "postgres")
        finally:
            self.psql(f"ALTER DATABASE kept RENAME TO {NAME}", "postgres")

    def altered(self, *statements: str, options: tuple[str, ...] = ()) -> Path:
        """A dump of a copy of the portfolio that something was done to."""
        return self.of_another(*statements, template=NAME, options=options)

    def restore(self, path: Path, unverified: bool = True) -> None:
        """As the playbook does it. Raises Problem."""
        with path.open("rb", buffering=0) as file:
            archive.restore_beside(self.engine, NAME, path, file, unverified)
        try:
            if said := init_db(self.database, f"{NAME}_restoring"):
                raise archive.Problem(said)
            archive.postgres_restore.replace(self.engine, NAME)
        finally:
            archive.postgres_restore.discard(self.engine, NAME)
