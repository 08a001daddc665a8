"""Dumps that must not replace a database: a name for each, and how it is made of the portfolio."""

import gzip
import lzma
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.guard.portfolio import PROGRAM, Portfolio

Maker = Callable[[Portfolio], Path]
TABLES = ("users", "provider_tokens", "refresh_tokens", "provider_audit_logs", "alembic_version")
APP = "scratch_app"
AUDIT = "provider_audit_logs"
FUNCTION = "CREATE FUNCTION run() RETURNS int LANGUAGE {} AS $${}$$"
TRIGGER = "CREATE FUNCTION on_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$"
CALLED = FUNCTION.format("sql IMMUTABLE", "SELECT 1")
WITH_A_PROGRAM = [
    FUNCTION.format("plpgsql", f" BEGIN {PROGRAM}; RETURN 1; END "),
    "CREATE MATERIALIZED VIEW harmless AS SELECT run()",
]


def flipped(position: Callable[[bytes], int]) -> Maker:
    """Of a dump whose checksum nobody knows."""

    def make(portfolio: Portfolio) -> Path:
        path = portfolio.dump()
        data = bytearray(path.read_bytes())
        data[position(bytes(data))] ^= 0x01
        path.write_bytes(data)
        return path

    return make


def changed(change: Callable[[bytes], bytes], summed: bool = False) -> Maker:
    """The file of a dump with other bytes; if summed, beside the checksum that it had before."""

    def make(portfolio: Portfolio) -> Path:
        data = portfolio.dump().read_bytes()
        assert change(data) != data
        return (portfolio.summed if summed else portfolio.written)(change(data))

    return make


def dumped(*options: str) -> Maker:
    return lambda portfolio: portfolio.dump(*options)


def altered(*statements: str, options: tuple[str, ...] = ()) -> Maker:
    return lambda portfolio: portfolio.altered(*statements, options=options)


def another(*statements: str, create: str = "") -> Maker:
    return lambda portfolio: portfolio.of_another(*statements, create=create)


def each(pattern: str, values: Iterable[str], make: Callable[[str], Maker]) -> dict[str, Maker]:
    return {pattern.format(value): make(value) for value in values}


def at(share: float) -> Callable[[bytes], bytes]:
    """Flip one bit, which may also be of no account: only a checksum tells."""

    def flip(data: bytes) -> bytes:
        position = min(int(len(data) * share), len(data) - 1)
        return data[:position] + bytes([data[position] ^ 0x10]) + data[position + 1 :]

    return flip


def cut(share: float) -> Callable[[bytes], bytes]:
    return lambda data: data[: int(len(data) * share)]


def a_block(replaced_by: Callable[[bytes], bytes], share: float) -> Callable[[bytes], bytes]:
    """Put something else in the place of 512 bytes."""

    def change(data: bytes) -> bytes:
        start = int(len(data) * share)
        return data[:start] + replaced_by(data[start : start + 512]) + data[start + 512 :]

    return change


def on_disk(make: Callable[[Path], object]) -> Maker:
    """What is no file that can be read, in the place of a dump."""

    def made(portfolio: Portfolio) -> Path:
        path = portfolio.written(b"").with_name("on-disk.dump")
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        path.unlink(missing_ok=True)
        make(path)
        return path

    return made


DAMAGED: dict[str, Maker] = {
    "one bit in a table's name": flipped(lambda data: data.index(b"CREATE TABLE public.users") + 20),
    "one bit in a command": flipped(lambda data: data.index(b"COPY public.users") + 1),
    "one bit in the rows": flipped(lambda data: len(data) - 2000),
    "one bit in the version": flipped(lambda data: 5),
    **{f"one bit at {n:.0%}, with its checksum": changed(at(n), True) for n in (0, 0.25, 0.5, 0.75, 1)},
    **{f"{n:.1%} of it": changed(cut(n)) for n in (0, 0.01, 0.1, 0.3, 0.6, 0.9, 0.999)},
    "all but its last byte": changed(lambda data: data[:-1]),
    "something after its end, with its checksum": changed(lambda data: data + b"\0", True),
    **{f"a block of zeros at {n:.0%}": changed(a_block(lambda was: bytes(512), n)) for n in (0.1, 0.8)},
    **{f"a block lost at {n:.0%}": changed(a_block(lambda was: b"", n)) for n in (0.1, 0.8)},
    **{f"a block twice at {n:.0%}": changed(a_block(lambda was: was * 2, n)) for n in (0.1, 0.8)},
    "the magic and noise": lambda portfolio: portfolio.written(b"PGDMP" + bytes(range(256)) * 8),
}
FORMATS: dict[str, Maker] = {
    "text": dumped("-Fp"),
    "tar": dumped("-Ft"),
    "packed by gzip": changed(gzip.compress),
    "packed by xz": changed(lzma.compress),
    "a folder": on_disk(Path.mkdir),
    "a pipe": on_disk(os.mkfifo),
    "nothing there": on_disk(lambda path: None),
    "a link to itself": on_disk(lambda path: path.symlink_to(path.name)),
    "a link to a device": on_disk(lambda path: path.symlink_to("/dev/zero")),
    "its own checksum": lambda portfolio: portfolio.written(b"0" * 64 + b"  portfolio.dump\n"),
}
PARTIAL: dict[str, Maker] = {
    "the schema only": dumped("--schema-only"),
    "the rows only": dumped("--data-only"),
    **each("section {} only", ("pre-data", "data", "post-data"), lambda name: dumped(f"--section={name}")),
    "without indexes and constraints": dumped("--section=pre-data", "--section=data"),
    **each("without the table {}", TABLES, lambda name: dumped(f"--exclude-table={name}")),
    **each("without the rows of {}", TABLES, lambda name: dumped(f"--exclude-table-data={name}")),
    "the audit log only": dumped(f"--table={AUDIT}"),
    "without privileges": dumped("--no-privileges"),
    "without its extension": dumped("--exclude-extension=uuid-ossp", "--extension=plpgsql"),
}
FOREIGN: dict[str, Maker] = {
    "of another database": lambda portfolio: portfolio.dump(source="postgres"),
    "empty": another(),
    "of another project": another("CREATE TABLE articles (id int)", "INSERT INTO articles VALUES (1)"),
    "of another project with the same tables": another(
        "CREATE TABLE users (id int)", "CREATE TABLE alembic_version (version_num text)"
    ),
    "of another project in another encoding": another(
        "CREATE TABLE articles (title text)",
        r"INSERT INTO articles VALUES (E'\xff')",
        create="ENCODING 'SQL_ASCII' LOCALE 'C' LOCALE_PROVIDER libc",
    ),
    "of another project's revision": altered("UPDATE alembic_version SET version_num = 'f00d'"),
    "no revision recorded": altered("DELETE FROM alembic_version"),
    "two revisions recorded": altered("INSERT INTO alembic_version VALUES ('f00d')"),
}
ALTERED: dict[str, Maker] = {
    "a column less": altered("ALTER TABLE users DROP COLUMN name"),
    "a column of another type": altered("ALTER TABLE users ALTER name TYPE text"),
    "a column that may be empty": altered("ALTER TABLE users ALTER name DROP NOT NULL"),
    "another default": altered("ALTER TABLE users ALTER is_active SET DEFAULT false"),
    "a default that calls a function": altered(
        CALLED, "ALTER TABLE users ALTER failed_login_attempts SET DEFAULT run()"
    ),
    "a table more": altered("CREATE TABLE more (id int)"),
    "a table that a crash empties": altered(f"ALTER TABLE {AUDIT} SET UNLOGGED"),
    "a table with a child": altered(
        "CREATE SCHEMA more", "CREATE TABLE more.users () INHERITS (public.users)"
    ),
    "a check less": altered("ALTER TABLE providers DROP CONSTRAINT ck_providers_alias_not_empty"),
    "a reference that was not checked": altered(
        "ALTER TABLE providers DROP CONSTRAINT fk_providers_user_id_users",
        "ALTER TABLE providers ADD CONSTRAINT fk_providers_user_id_users FOREIGN KEY (user_id) "
        "REFERENCES users (id) ON DELETE CASCADE NOT VALID",
    ),
    "an index less": altered("DROP INDEX ix_providers_provider_key"),
    "a key less": altered("ALTER TABLE users DROP CONSTRAINT uq_users_email"),
}
PROGRAMS: dict[str, Maker] = {
    # The function runs when the view is filled, which is while the dump is restored.
    "a view that runs a program": altered(*WITH_A_PROGRAM),
    "a view that calls a function": altered(CALLED, "CREATE VIEW harmless AS SELECT run()"),
    "a function": altered(CALLED),
    "a function with its owner's rights": altered(FUNCTION.format("sql SECURITY DEFINER", "SELECT 1")),
    "a procedure": altered("CREATE PROCEDURE go() LANGUAGE plpgsql AS $$ BEGIN END $$"),
    "an aggregate": altered("CREATE AGGREGATE more (int) (SFUNC = int4pl, STYPE = int)"),
    "a function that shadows PostgreSQL's": altered(
        "CREATE FUNCTION lower(varchar) RETURNS text LANGUAGE sql IMMUTABLE AS $$SELECT 'x'$$"
    ),
    "an operator": altered("CREATE OPERATOR === (LEFTARG = text, RIGHTARG = text, FUNCTION = texteq)"),
    "a cast": altered("CREATE TYPE odd AS ENUM ('a')", "CREATE CAST (odd AS text) WITH INOUT AS IMPLICIT"),
    "a trigger on the audit log": altered(
        TRIGGER, f"CREATE TRIGGER silent BEFORE INSERT ON {AUDIT} FOR EACH ROW EXECUTE FUNCTION on_row()"
    ),
    "a trigger on the revision": altered(
        TRIGGER, "CREATE TRIGGER go AFTER UPDATE ON alembic_version FOR EACH ROW EXECUTE FUNCTION on_row()"
    ),
    "PostgreSQL's own trigger": altered(
        "CREATE TRIGGER same BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION "
        "suppress_redundant_updates_trigger()"
    ),
    "a rule that drops audits": altered(f"CREATE RULE silent AS ON INSERT TO {AUDIT} DO INSTEAD NOTHING"),
    "a rule that copies": altered(
        "CREATE RULE copy AS ON INSERT TO users DO ALSO INSERT INTO provider_audit_logs (action, outcome) "
        "VALUES (NEW.email, 'success')"
    ),
    "a policy": altered(
        "ALTER TABLE users ENABLE ROW LEVEL SECURITY", "CREATE POLICY none ON users USING (false)"
    ),
    "row security without a policy": altered(f"ALTER TABLE {AUDIT} ENABLE ROW LEVEL SECURITY"),
    "an event trigger": altered(
        "CREATE FUNCTION on_login() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN END $$",
        "CREATE EVENT TRIGGER on_login ON login EXECUTE FUNCTION on_login()",
    ),
    "an extension that the database lacks": altered("CREATE EXTENSION dblink"),
    "an extension that every owner may install": altered("CREATE EXTENSION hstore"),
    "a foreign server": altered(
        "CREATE EXTENSION postgres_fdw", "CREATE SERVER away FOREIGN DATA WRAPPER postgres_fdw"
    ),
    "a publication of all": altered("CREATE PUBLICATION all_of_it FOR ALL TABLES"),
    "a schema that the app would look into first": altered(f"CREATE SCHEMA {APP}"),
}
GRANTED: dict[str, Maker] = {
    **each(
        "{} on the audit log",
        ("UPDATE", "DELETE", "TRUNCATE"),
        lambda name: altered(f"GRANT {name} ON {AUDIT} TO {APP}"),
    ),
    **each(
        "no {} on the audit log",
        ("SELECT", "INSERT"),
        lambda name: altered(f"REVOKE {name} ON {AUDIT} FROM {APP}"),
    ),
    "UPDATE on a column of the audit log": altered(f"GRANT UPDATE (details) ON {AUDIT} TO {APP}"),
    "a right that can be passed on": altered(f"GRANT INSERT ON {AUDIT} TO {APP} WITH GRANT OPTION"),
    "the users for all": altered("GRANT SELECT ON users TO PUBLIC"),
    "no users for the app": altered(f"REVOKE ALL ON users FROM {APP}"),
    "the revision for the app": altered(f"GRANT UPDATE ON alembic_version TO {APP}"),
    "the schema for the app": altered(f"GRANT CREATE ON SCHEMA public TO {APP}"),
    "no schema for the app": altered(f"REVOKE USAGE ON SCHEMA public FROM {APP}, PUBLIC"),
    "a view that the app may read": altered(
        "CREATE VIEW hashes AS SELECT password_hash FROM users", f"GRANT SELECT ON hashes TO {APP}"
    ),
    "what will be made is the app's": altered(f"ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO {APP}"),
}
# What else would be refused by a fault in the comparison is refused for its own reason.
REASONS = {
    name: reason
    for kinds, reason in (
        (PROGRAMS, "it has the |its table |permission denied|must be superuser"),
        (GRANTED, "(it has the|it lacks the|its) privilege |permission denied to change default privileges"),
    )
    for name in kinds
}
REFUSED = DAMAGED | FORMATS | PARTIAL | FOREIGN | ALTERED | PROGRAMS | GRANTED
