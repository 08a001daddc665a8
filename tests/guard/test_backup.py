"""Dump and restore on a real server: what comes back, what is refused, and that a failure changes nothing."""

import os
from collections.abc import Callable, Iterator
from datetime import datetime, tzinfo
from pathlib import Path

import pytest
from ansible_collections.dashtam.stack.plugins.module_utils import dump_files
from ansible_collections.dashtam.stack.plugins.module_utils.dump_files import sums_of

from tests import inside
from tests.by_path import load
from tests.guard.scratch import Server

archive = load("plugins/action/postgres_archive.py")

DATABASE = "restorable"
# What a COPY's text must not be confused by, in names and in values.
CONTENT = r"""
SET ROLE backup_owner;
CREATE EXTENSION "uuid-ossp";
CREATE TABLE people (id uuid PRIMARY KEY DEFAULT uuid_generate_v4(), note text);
CREATE TABLE "odd (name)" (a int);
CREATE TABLE nobody (a int);
GRANT SELECT, INSERT ON people TO backup_reader;
INSERT INTO people (note) SELECT E'\\.' || chr(10) || 'COPY public.x (a) FROM stdin;' || g
FROM generate_series(1, 5000) AS g;
INSERT INTO "odd (name)" VALUES (1), (2);
"""
PROPERTIES = """
SELECT pg_get_userbyid(datdba), (SELECT array_agg(acl::text ORDER BY acl::text) FROM unnest(datacl) AS acl)
FROM pg_database WHERE datname = current_database()
UNION ALL SELECT setrole::text, setconfig
FROM pg_db_role_setting JOIN pg_database ON pg_database.oid = setdatabase WHERE datname = current_database()
UNION ALL SELECT extname, ARRAY[pg_get_userbyid(extowner)::text] FROM pg_extension
UNION ALL SELECT relname, ARRAY[pg_get_userbyid(relowner)::text, relacl::text] FROM pg_class
WHERE relnamespace = 'public'::regnamespace
UNION ALL SELECT 'people', ARRAY[md5(string_agg(people::text, '' ORDER BY id))] FROM people
ORDER BY 1, 2
"""


def psql(server: Server, sql: str, database: str = "postgres") -> str:
    """As the administrator inside the container, without a connection of ours that a swap would end."""
    command = ["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database, "-c", sql]
    return inside.said(server.container, command, user="postgres").strip()


def databases(server: Server) -> list[str]:
    return psql(server, "SELECT datname FROM pg_database WHERE datname ~ '^restorable' ORDER BY 1").split(
        "\n"
    )


def oid(server: Server) -> str:
    return psql(server, "SELECT oid FROM pg_database WHERE datname = 'restorable'")


@pytest.fixture
def content(other_server: Server) -> Iterator[Callable[[], str]]:
    """A database with properties of its own; called, it tells everything that a restore must bring back."""
    psql(other_server, "CREATE ROLE backup_owner")
    psql(other_server, "CREATE ROLE backup_reader")
    psql(other_server, f"CREATE DATABASE {DATABASE} OWNER backup_owner")
    psql(
        other_server,
        f"REVOKE CONNECT ON DATABASE {DATABASE} FROM PUBLIC; "
        f"GRANT CONNECT ON DATABASE {DATABASE} TO backup_reader; "
        f"ALTER DATABASE {DATABASE} SET timezone = 'Europe/Berlin'; "
        f'ALTER DATABASE {DATABASE} SET search_path = public, "$user"; '
        f"ALTER ROLE backup_reader IN DATABASE {DATABASE} SET statement_timeout = '5s'",
    )
    psql(other_server, CONTENT, DATABASE)
    yield lambda: psql(other_server, PROPERTIES, DATABASE)
    for name in databases(other_server):
        psql(other_server, f'DROP DATABASE "{name}" WITH (FORCE)')
    psql(other_server, "DROP ROLE backup_owner")
    psql(other_server, "DROP ROLE backup_reader")


@pytest.fixture
def engine(other_server: Server) -> object:
    return archive.Server(other_server.container.id)


@pytest.fixture
def dumped(engine: object, content: object, tmp_path: Path) -> Path:
    return Path(archive.dump(engine, DATABASE, tmp_path / "backups", "copy")["file"])


def restore(engine: object, path: Path) -> dict[str, int]:
    with path.open("rb", buffering=0) as file:
        rows: dict[str, int] = archive.restore_beside(engine, DATABASE, path, file, unverified=True)
    archive.postgres_restore.replace(engine, DATABASE)
    return rows


def test_everything_comes_back(
    engine: object, content: Callable[[], str], dumped: Path, other_server: Server
) -> None:
    before = content()
    psql(other_server, 'DELETE FROM people; DROP TABLE "odd (name)"; CREATE TABLE later (a int)', DATABASE)
    rows = restore(engine, dumped)
    assert rows == {"public.people": 5000, 'public."odd (name)"': 2, "public.nobody": 0}
    assert content() == before
    assert databases(other_server) == [DATABASE]


def test_a_dump_is_private_and_leaves_nothing_else(dumped: Path) -> None:
    assert dumped.parent.stat().st_mode & 0o777 == 0o700
    assert {path.name: path.stat().st_mode & 0o777 for path in dumped.parent.iterdir()} == {
        dumped.name: 0o600,
        f"{dumped.name}.sha256": 0o600,
    }


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files of another user")
def test_a_dump_that_root_makes_is_the_folders_owners(
    engine: object, content: object, tmp_path: Path
) -> None:
    """`sudo make snapshot` once must not lock a developer out."""
    os.chown(tmp_path, 1234, 1234)
    dump = Path(archive.dump(engine, DATABASE, tmp_path / "backups/snapshots", "copy")["file"])
    made = [*tmp_path.rglob("*")]
    assert {dump, tmp_path / "backups"} < {*made}
    assert {path.stat().st_uid for path in made} == {1234}
    assert {path.stat().st_mode & 0o077 for path in made} == {0}


def test_a_second_dump_of_the_same_second_leaves_the_first_one_whole(
    engine: object, dumped: Path, other_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Stopped":
            return cls.strptime(dumped.stem.rpartition("-")[2], "%Y%m%dT%H%M%SZ").replace(tzinfo=tz)

    monkeypatch.setattr(dump_files, "datetime", Stopped)
    psql(other_server, "INSERT INTO nobody VALUES (1)", DATABASE)
    before = {path: path.read_bytes() for path in dumped.parent.iterdir()}
    with pytest.raises(archive.Problem, match="was written in this same second, and is kept; run this again"):
        archive.dump(engine, DATABASE, dumped.parent, "copy")
    assert {path: path.read_bytes() for path in dumped.parent.iterdir()} == before


def test_a_failed_dump_leaves_nothing(engine: object, tmp_path: Path) -> None:
    with pytest.raises(archive.Problem, match="there is no database nowhere to back up"):
        archive.dump(engine, "nowhere", tmp_path / "backups", "copy")
    assert not (tmp_path / "backups").exists()


def flip(position: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:position] + bytes([data[position] ^ 0xFF]) + data[position + 1 :]


@pytest.mark.parametrize(
    ("damage", "checksum", "complaint"),
    [
        (lambda data: data[: len(data) // 2], False, "damaged or not for this PostgreSQL: .*end of file"),
        (lambda data: flip(len(data) - 3000)(data), False, "damaged or not for this PostgreSQL"),
        (flip(100), True, "it is not what .*sha256 says"),
        (
            lambda data: data.replace(b"CREATE TABLE public.people", b"CRAETE TABLE public.people"),
            False,
            "is unchanged",
        ),
        (lambda data: b"", False, "not a dump in pg_dump's custom format"),
        (lambda data: b"CREATE TABLE x ();\n", False, "not a dump in pg_dump's custom format"),
    ],
    ids=["truncated", "data", "checksum", "statement", "empty", "text"],
)
def test_a_damaged_dump_changes_nothing(
    engine: object,
    content: Callable[[], str],
    dumped: Path,
    other_server: Server,
    damage: Callable[[bytes], bytes],
    checksum: bool,
    complaint: str,
) -> None:
    before = content(), oid(other_server)
    dumped.write_bytes(damage(dumped.read_bytes()))
    if not checksum:
        sums_of(dumped).unlink()
    with pytest.raises(archive.Problem, match=complaint):
        restore(engine, dumped)
    assert (
        content(),
        oid(other_server),
    ) == before
    assert databases(other_server) == [DATABASE]


def test_a_dump_of_another_database_is_refused(
    engine: object, content: Callable[[], str], other_server: Server, tmp_path: Path
) -> None:
    path = Path(archive.dump(engine, "postgres", tmp_path, "foreign")["file"])
    with pytest.raises(archive.Problem, match="is a dump of the database postgres, not of restorable"):
        restore(engine, path)


def test_what_an_interrupted_restore_left_is_in_nobodys_way(
    engine: object, content: Callable[[], str], dumped: Path, other_server: Server
) -> None:
    before = content()
    for left in ("restoring", "before_restore"):
        psql(other_server, f"CREATE DATABASE {DATABASE}_{left}")
    restore(engine, dumped)
    assert content() == before
    assert databases(other_server) == [DATABASE]
