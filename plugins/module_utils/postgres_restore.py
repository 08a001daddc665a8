"""A dump restored into a database beside the present one, and the exchange of the two.

A dump is a program. It runs here as a role made for this one restore, which owns the new database and nothing
else and is no superuser: a dump that runs a program, changes a role or reads a file of the server fails. That
role logs in with a password, because a dump could undo a superuser's SET ROLE.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import IO, Literal

from ansible_collections.dashtam.stack.plugins.module_utils import postgres_behaviour, postgres_sql
from ansible_collections.dashtam.stack.plugins.module_utils.local_action import Problem
from ansible_collections.dashtam.stack.plugins.module_utils.postgres_server import Server, quoted

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
PRESENT_EXTENSIONS = """
SELECT format('CREATE EXTENSION IF NOT EXISTS %I', extname)
FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace WHERE nspname = 'public';
"""
OWNER = "SELECT quote_ident(pg_get_userbyid(datdba)) FROM pg_database WHERE datname = :'present';"
# Those of the dump that the present database has: no dump brings in another one.
EXTENSIONS = r"""
SELECT format('SET ROLE %I; CREATE EXTENSION IF NOT EXISTS %I', :'new', extname)
FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
WHERE extname = ANY (string_to_array(:'extensions', ',')) AND nspname = 'public';
"""
# Every table that can have rows of its own, written as pg_dump writes it.
TABLES = """
    SELECT quote_ident(nspname) || '.' || quote_ident(relname)
    FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace
    WHERE relkind = 'r' AND nspname !~ '^pg_' AND nspname <> 'information_schema' AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend
        WHERE classid = 'pg_catalog.pg_class'::regclass AND objid = pg_class.oid AND deptype = 'e'
    )
"""
# What may be done with tables and sequences of the present database, for those that the new one has, too.
PRIVILEGES = r"""
SELECT format('GRANT %s ON SCHEMA %I TO %I', privilege_type, nspname, pg_get_userbyid(grantee))
FROM pg_namespace, aclexplode(nspacl)
WHERE nspname !~ '^pg_' AND nspname = ANY (string_to_array(:'schemas', ',')) AND grantee NOT IN (0, nspowner)
UNION ALL
SELECT format('GRANT %s ON %s TO %I', privilege_type, relation, pg_get_userbyid(grantee))
FROM (SELECT quote_ident(nspname) || '.' || quote_ident(relname) AS relation, relowner, relacl
      FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE relkind IN ('r', 'S', 'v')
     ) AS relations, aclexplode(relacl)
WHERE relation = ANY (string_to_array(:'relations', E'\n')) AND grantee NOT IN (0, relowner);
"""
RELATIONS = """
    SELECT quote_ident(nspname) || '.' || quote_ident(relname)
    FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace
    WHERE relkind IN ('r', 'S', 'v') AND nspname !~ '^pg_' AND nspname <> 'information_schema'
"""


Form = Literal["own", "foreign", "sql"]


@dataclass(frozen=True)
class Source:
    """What is restored.

    :param rows: the number of rows of each table that the file holds.
    :param extensions: the extensions that it names.
    :param form: a dump of this database's own, one of another server, or SQL.
    """

    file: IO[bytes]
    rows: dict[str, int]
    extensions: list[str]
    form: Form = "own"


def beside(database: str) -> str:
    """Return the name of the database that a dump is restored into, and of the role that restores it."""
    return f"{database}_restoring"


def reference(database: str) -> str:
    """Return the name of the database that a restored one is compared with."""
    return f"{database}_reference"


def make_reference(server: Server, database: str) -> None:
    """Make an empty database with the owner, privileges, settings and extensions of the present one."""
    new = reference(database)
    _want(server, database)
    server.drop(new)
    server.sql("postgres", f"CREATE DATABASE {quoted(new)} TEMPLATE template0")
    server.sql(new, *server.query(database, PRESENT_EXTENSIONS).splitlines())
    statements = server.query(database, LIKE_THE_PRESENT, present=database, new=new)
    server.sql("postgres", *statements.splitlines())


def _want(server: Server, database: str) -> None:
    if not server.has(database):
        raise Problem(f"there is no database {database} to replace; start the environment first")


def restore_beside(server: Server, database: str, source: Source) -> dict[str, int]:
    """Restore a dump beside the database, with the owner, privileges and settings of the present one.

    Returns the number of rows of each table. Raises Problem if it cannot be restored completely, or brings
    along what runs by itself and is not in the reference, where there is one; nothing is left then.
    """
    _want(server, database)
    new, password = beside(database), secrets.token_hex(16)
    _discard_restored(server, database)
    try:
        # A superuser until it can log in, as its extensions may require one.
        server.sql("postgres", f"CREATE ROLE {quoted(new)} SUPERUSER NOLOGIN")
        server.sql("postgres", f"CREATE DATABASE {quoted(new)} OWNER {quoted(new)} TEMPLATE template0")
        server.sql("postgres", f"REVOKE ALL ON DATABASE {quoted(new)} FROM PUBLIC")
        statements = server.query(database, EXTENSIONS, extensions=",".join(source.extensions), new=new)
        server.sql(new, *statements.splitlines())
        # By standard input: `ps` shows no password.
        login = f"SET log_statement = none; ALTER ROLE {quoted(new)} NOSUPERUSER LOGIN PASSWORD '{password}';"
        server.query("postgres", login)
        restorer = Server(server.container, new, password)
        if source.form == "sql":
            postgres_sql.run(restorer, new, source.file)
        else:
            restorer.restore(new, source.file, *(["--no-privileges"] if source.form == "foreign" else []))
        rows = _compare(restorer, new, source)
        # Before the owner's migrations could set it off.
        if server.has(reference(database)):
            wanted = postgres_behaviour.programs(server, reference(database))
            postgres_behaviour.refuse_more(postgres_behaviour.programs(restorer, new), wanted)
        restorer.sql(new, "ANALYZE")
        # The dump may have set a search path, in which the administrator would find other functions.
        server.sql("postgres", f"ALTER DATABASE {quoted(new)} RESET ALL")
        owner = server.query("postgres", OWNER, present=database).strip()
        server.sql(new, f"REASSIGN OWNED BY {quoted(new)} TO {owner}", f"DROP OWNED BY {quoted(new)}")
        statements = server.query(database, LIKE_THE_PRESENT, present=database, new=new)
        server.sql("postgres", *statements.splitlines(), f"DROP ROLE {quoted(new)}")
        if source.form != "own":
            relations = server.sql(new, RELATIONS)
            granted = server.query(database, PRIVILEGES, relations=relations.strip(), schemas="public")
            server.sql(new, *granted.splitlines())
        return rows
    except BaseException:
        _discard_restored(server, database)
        raise


def _compare(server: Server, new: str, source: Source) -> dict[str, int]:
    """Return the rows that are there. Raises Problem where a table has others than the file says."""
    found = set(server.sql(new, TABLES).splitlines())
    if not found:
        raise Problem("the dump holds no table")
    # SQL may hold rows as INSERT statements, which nobody has counted.
    if source.form != "sql" and (without := sorted(found - source.rows.keys())):
        raise Problem(f"the dump holds the table {without[0]} without its rows")
    restored = server.rows_of(new, sorted(found | source.rows.keys()))
    for table, count in source.rows.items():
        if restored[table] != count:
            raise Problem(f"{table} has {restored[table]} rows where the dump has {count}")
    return restored


def compare(server: Server, database: str) -> None:
    """Compare what was restored, and then migrated, with the reference.

    Views that nobody but the owner may read are no difference.

    Raises Problem with what differs.
    """
    wanted = postgres_behaviour.everything(server, reference(database))
    postgres_behaviour.refuse_other(postgres_behaviour.everything(server, beside(database)), wanted)


def replace(server: Server, database: str) -> None:
    """Put the restored database in the place of the present one. Raises Problem; nothing has changed then."""
    new, old = beside(database), f"{database}_before_restore"
    # An interrupted run may have left it, after a swap that was complete.
    server.drop(old)
    _swap(server, database, new, old)
    server.drop(old)


def discard(server: Server, database: str) -> None:
    """Remove what is left of a restore, if anything is."""
    _discard_restored(server, database)
    server.drop(reference(database))


def _discard_restored(server: Server, database: str) -> None:
    server.drop(beside(database))
    server.sql("postgres", f"DROP ROLE IF EXISTS {quoted(beside(database))}")


def _swap(server: Server, database: str, new: str, old: str) -> None:
    """Exchange the names. Nobody may be connected, and a client may reconnect: try again."""
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
