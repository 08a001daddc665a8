"""Dumps that must not replace a database, and harmless ones that must: the application's own schema.

What the playbook does is done here with the same parts: the dump is restored beside, the result is migrated
and compared with the models by `python -m src.core.init_db`, and only then it replaces the present database.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.by_path import ROOT, load
from tests.guard.scratch import Database, Server

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


@pytest.fixture(scope="module")
def portfolio(other_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portfolio]:
    database = other_server.prepare(NAME, owner="portfolio_owner", disposable=False)
    made = Portfolio(database, archive.Server(other_server.container.id), tmp_path_factory.mktemp("dumps"))
    made.psql("DROP TABLE precious")
    made.psql(f"DROP DATABASE {NAME}_gw0", "postgres")
    assert init_db(database, NAME) == ""
    made.psql(ROWS)
    made.psql(AUDITED)
    yield made
    made.psql(f"DROP DATABASE {NAME} WITH (FORCE)", "postgres")


def flipped(position: Callable[[bytes], int]) -> Callable[[Portfolio], Path]:
    def make(portfolio: Portfolio) -> Path:
        path = portfolio.dump()
        data = bytearray(path.read_bytes())
        data[position(bytes(data))] ^= 0x01
        path.write_bytes(data)
        return path

    return make


def cut(share: float) -> Callable[[Portfolio], Path]:
    def make(portfolio: Portfolio) -> Path:
        path = portfolio.dump()
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
        return path

    return make


WITH_A_PROGRAM = [
    f"CREATE FUNCTION run() RETURNS int LANGUAGE plpgsql AS $$ BEGIN {PROGRAM}; RETURN 1; END $$",
    "CREATE MATERIALIZED VIEW harmless AS SELECT run()",
]
REFUSED: dict[str, Callable[[Portfolio], Path]] = {
    "one bit in the contents' list": flipped(lambda data: data.index(b"TABLE DATA") + 6),
    "one bit in a table's name": flipped(lambda data: data.index(b"CREATE TABLE public.users") + 20),
    "one bit in a command": flipped(lambda data: data.index(b"COPY public.users") + 1),
    "one bit in the rows": flipped(lambda data: len(data) - 2000),
    "one bit in the version": flipped(lambda data: 5),
    **{f"{share:.0%} of it": cut(share) for share in (0, 0.01, 0.3, 0.6, 0.9, 0.999)},
    "the schema only": lambda portfolio: portfolio.dump("--schema-only"),
    "the rows only": lambda portfolio: portfolio.dump("--data-only"),
    "without the rows of one table": lambda portfolio: portfolio.dump("--exclude-table-data=users"),
    "without the audit log": lambda portfolio: portfolio.dump("--exclude-table=provider_audit_logs"),
    "the audit log only": lambda portfolio: portfolio.dump("--table=provider_audit_logs"),
    "without the revision": lambda portfolio: portfolio.dump("--exclude-table=alembic_version"),
    "of another database": lambda portfolio: portfolio.dump(source="postgres"),
    "empty": lambda portfolio: portfolio.of_another(),
    "of another project": lambda portfolio: portfolio.of_another(
        "CREATE TABLE articles (id int); INSERT INTO articles VALUES (1)"
    ),
    "of another project with the same table": lambda portfolio: portfolio.of_another(
        "CREATE TABLE users (id int); CREATE TABLE alembic_version (version_num text)"
    ),
    "of another project's revision": lambda portfolio: portfolio.altered(
        "UPDATE alembic_version SET version_num = 'f00d'"
    ),
    "no revision recorded": lambda portfolio: portfolio.altered("DELETE FROM alembic_version"),
    "a column less": lambda portfolio: portfolio.altered("ALTER TABLE users DROP COLUMN name"),
    "a table more": lambda portfolio: portfolio.altered("CREATE TABLE more (id int)"),
    "a check less": lambda portfolio: portfolio.altered(
        "ALTER TABLE providers DROP CONSTRAINT ck_providers_alias_not_empty"
    ),
    # The function runs when the view is filled, which is while the dump is restored.
    "a view that runs a program": lambda portfolio: portfolio.altered(*WITH_A_PROGRAM),
    "an event trigger": lambda portfolio: portfolio.altered(
        "CREATE FUNCTION on_login() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN END $$",
        "CREATE EVENT TRIGGER on_login ON login EXECUTE FUNCTION on_login()",
    ),
    "an extension that the database lacks": lambda portfolio: portfolio.altered("CREATE EXTENSION dblink"),
    "a publication of all": lambda portfolio: portfolio.altered(
        "CREATE PUBLICATION all_of_it FOR ALL TABLES"
    ),
    "text": lambda portfolio: portfolio.dump("-Fp"),
    "tar": lambda portfolio: portfolio.dump("-Ft"),
}
ACCEPTED: dict[str, Callable[[Portfolio], Path]] = {
    "as it is": lambda portfolio: portfolio.dump(),
    "uncompressed": lambda portfolio: portfolio.dump("-Z0"),
    "compressed most": lambda portfolio: portfolio.dump("-Z9"),
    "without owners": lambda portfolio: portfolio.dump("--no-owner"),
    "without comments": lambda portfolio: portfolio.dump("--no-comments"),
    "rows in other places": lambda portfolio: portfolio.altered("CLUSTER users USING pk_users"),
    "with a view": lambda portfolio: portfolio.altered("CREATE VIEW names AS SELECT name FROM users"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refused_and_nothing_is_touched(portfolio: Portfolio, kind: str) -> None:
    path = REFUSED[kind](portfolio)
    # Making such a dump has run the program, too.
    portfolio.database.server.container.exec_run("rm -f /tmp/run-by-the-dump")
    before = portfolio.psql(FINGERPRINT)
    with pytest.raises(archive.Problem):
        portfolio.restore(path)
    assert portfolio.psql(FINGERPRINT) == before
    assert portfolio.database.server.container.exec_run("ls /tmp/run-by-the-dump").exit_code != 0


@pytest.mark.parametrize("kind", ACCEPTED)
def test_accepted(portfolio: Portfolio, kind: str) -> None:
    path = ACCEPTED[kind](portfolio)
    before = portfolio.psql("SELECT md5(string_agg(u::text, '' ORDER BY id)) FROM users u")
    portfolio.psql("DELETE FROM users")
    portfolio.restore(path)
    assert portfolio.psql("SELECT md5(string_agg(u::text, '' ORDER BY id)) FROM users u") == before
    assert portfolio.psql("SELECT count(*) FROM pg_roles WHERE rolname ~ 'restor'") == "0"
    owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
    assert portfolio.psql(owners) == portfolio.database.user


def test_of_an_older_revision(portfolio: Portfolio) -> None:
    """It is brought to the code's revision before anything is replaced."""
    command = [sys.executable, "-m", "src.core.migrate", "downgrade", "-1"]
    environ = {
        name: value for name, value in portfolio.database.environ.items() if name != "TEST_DATABASE_IDENTITY"
    }
    subprocess.run(command, cwd=ROOT, env=environ, check=True, capture_output=True, timeout=120)
    revision = portfolio.psql("SELECT version_num FROM alembic_version")
    path = portfolio.dump()
    portfolio.restore(path)
    assert portfolio.psql("SELECT version_num FROM alembic_version") > revision
    assert portfolio.psql("SELECT count(*) FROM users") == "500"


def test_without_a_checksum_only_if_asked_for(portfolio: Portfolio) -> None:
    path = portfolio.dump()
    before = portfolio.psql(FINGERPRINT)
    with pytest.raises(archive.Problem, match=r"no checksum beside it.*-e backup_unverified=true"):
        portfolio.restore(path, unverified=False)
    assert portfolio.psql(FINGERPRINT) == before


@pytest.mark.parametrize("unverified", [False, True])
def test_a_checksum_that_differs_is_always_refused(portfolio: Portfolio, unverified: bool) -> None:
    path = portfolio.dump()
    archive.sums_of(path).write_text("0" * 64 + f"  {path.name}\n")
    try:
        with pytest.raises(archive.Problem, match=r"it is not what .* says"):
            portfolio.restore(path, unverified)
    finally:
        archive.sums_of(path).unlink()
