"""Connections to a test database that layers 1 to 4 allow, and the copies that parallel test workers use.

    async with worker_database(os.environ, "gw0") as name: ...

The test initialisation fills `<db>_template` and closes it to every connection, so that cloning it never
waits for anybody. Each worker gets `<db>_gw<n>`. Both names are derived from a target that has passed layers
1 to 3. Layer 4 is checked again, on the connection to `<db>` itself, right before each statement that drops
one: whoever waited for a lock may find another state than before.

Every catalog is named with its schema, and a session's temporary tables come last in the search path. By
default they come first: a `pg_temp.pg_db_role_setting` would be read instead of the real one.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from asyncpg import Connection

from src.core.schema.migrate import LOCK
from src.core.security.tls import server_context
from src.core.test_databases.policy import RefusalError, Target, TestDatabaseError, read_target

LOCK_TIMEOUT = "5s"
SEARCH_PATH = "pg_catalog, pg_temp"
# Whatever hangs for other reasons than a lock: a stopped server, a broken network.
CONNECT_TIMEOUT = 10.0
COMMAND_TIMEOUT = 120.0

logger = logging.getLogger(__name__)


async def connect(
    target: Target, database: str | None = None, application: str = "test_databases"
) -> Connection:
    """Connect to where the target says and to nothing else.

    Every part is given, empty or not: what is missing, asyncpg looks up in PG* variables, in `~/.pgpass`, in
    `~/.postgresql` and in service files. So are the settings that a role or a database may carry of its own.
    """
    try:
        connection: Connection = await asyncpg.connect(
            host=target.host,
            port=target.port,
            user=target.user,
            password=target.password,
            database=database or target.database,
            ssl=server_context(target.ca_file) if target.tls else False,
            target_session_attrs="any",
            timeout=CONNECT_TIMEOUT,
            command_timeout=COMMAND_TIMEOUT,
            server_settings={
                "application_name": application,
                "lock_timeout": LOCK_TIMEOUT,
                "search_path": SEARCH_PATH,
            },
        )
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        reason = str(error) or type(error).__name__
        raise TestDatabaseError(f"cannot connect to {target.where}: {reason}; is the server up?") from None
    return connection


async def check_connection(connection: Connection, target: Target) -> None:
    """Layer 4: connected to the very database, as the very user, who is no superuser.

    Raise RefusalError otherwise. The search path is set first: a pooler may have dropped what `connect` sent.
    """
    await connection.execute(f"SET search_path TO {SEARCH_PATH}")
    row = await _row(
        connection,
        """
        SELECT pg_catalog.current_database() AS database, session_user AS login, current_user AS user,
        EXISTS (
            SELECT FROM pg_catalog.pg_roles
            WHERE rolsuper AND pg_catalog.pg_has_role(current_user, oid, 'MEMBER')
        ) AS superuser
        """,
    )
    if row["database"] != target.database:
        raise RefusalError(
            4, f"connected to database {row['database']!a}, while DATABASE_URL says {target.database!a}"
        )
    for user in (row["login"], row["user"]):
        if user != target.user:
            raise RefusalError(4, f"connected as {user!a}, while DATABASE_URL says {target.user!a}")
    if row["superuser"]:
        raise RefusalError(4, f"{target.user!a} is a superuser or a member of one; use the database's owner")


async def ensure(environ: Mapping[str, str], worker: str) -> str:
    """The worker's database, cloned from the template unless it is there already."""
    return await _guarded(environ, worker, _create)


async def clone(environ: Mapping[str, str], worker: str) -> str:
    """The worker's database, freshly cloned from the template whatever was there."""

    async def again(connection: Connection, target: Target, name: str) -> None:
        await _drop(connection, target, name)
        await _create(connection, target, name)

    return await _guarded(environ, worker, again)


async def drop(environ: Mapping[str, str], worker: str) -> str:
    """Drop the worker's database if there is one."""

    return await _guarded(environ, worker, _drop)


@asynccontextmanager
async def worker_database(environ: Mapping[str, str], worker: str) -> AsyncIterator[str]:
    """A fresh database for one worker, dropped at the end."""
    name = await clone(environ, worker)
    try:
        yield name
    finally:
        await drop(environ, worker)


async def drop_leftovers(connection: Connection, target: Target) -> None:
    """Drop the template and every worker's database, on a connection that has passed layer 4."""
    rows = await connection.fetch("SELECT datname FROM pg_catalog.pg_database ORDER BY datname")
    names = [name for row in rows if (name := row["datname"]) == target.template or target.is_worker(name)]
    for name in names:
        await _drop(connection, target, name)


async def fill_template(
    connection: Connection, target: Target, fill: Callable[[Connection], Awaitable[None]]
) -> None:
    """Make the template, let `fill` make its schema, close it. Open means unfinished, and is never cloned."""
    name = target.template
    logger.info("Filling database %s", name)
    await _run(connection, f"CREATE DATABASE {quoted(name)} TEMPLATE template0")
    await _run(connection, f"REVOKE CONNECT ON DATABASE {quoted(name)} FROM PUBLIC")
    inside = await connect(target, name)
    try:
        await fill(inside)
    finally:
        await inside.close()
    await _run(connection, f"ALTER DATABASE {quoted(name)} ALLOW_CONNECTIONS false")


async def holders(connection: Connection) -> str:
    """Who holds locks in this database, for the message that somebody could not get one."""
    rows = await connection.fetch(
        """
        SELECT DISTINCT pid, usename, application_name
        FROM pg_catalog.pg_locks JOIN pg_catalog.pg_stat_activity USING (pid)
        WHERE granted AND pid <> pg_catalog.pg_backend_pid() AND locktype <> 'virtualxid'
          AND datname = pg_catalog.current_database()
        ORDER BY pid
        """
    )
    sessions = (
        f"{row['usename']} ({row['application_name'] or 'unnamed'}, pid {row['pid']})" for row in rows
    )
    return ", ".join(sessions) or "nobody any more"


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


async def _guarded(
    environ: Mapping[str, str], worker: str, work: Callable[[Connection, Target, str], Awaitable[None]]
) -> str:
    target = read_target(environ)
    name = target.worker(worker)
    connection = await connect(target)
    try:
        await check_connection(connection, target)
        # Shared among workers; an initialisation, which takes it alone, waits for them and they for it.
        await _run(connection, f"SELECT pg_catalog.pg_advisory_lock_shared({LOCK})")
        await work(connection, target, name)
    finally:
        await connection.close()
    return name


async def _create(connection: Connection, target: Target, name: str) -> None:
    if await _allows_connections(connection, name):
        return
    if await _allows_connections(connection, target.template) is not False:
        raise TestDatabaseError(
            f"there is no finished {target.template} to clone; run: python -m src.core.init_test_db"
        )
    # Left over from an interrupted creation, which opens the database only once its privileges are set.
    await _drop(connection, target, name)
    database = quoted(name)
    template = quoted(target.template)
    await _run(connection, f"CREATE DATABASE {database} TEMPLATE {template} ALLOW_CONNECTIONS false")
    await _run(connection, f"REVOKE CONNECT ON DATABASE {database} FROM PUBLIC")
    roles = await connection.fetch(
        """
        SELECT DISTINCT pg_catalog.quote_ident(rolname) AS role
        FROM pg_catalog.pg_database, pg_catalog.aclexplode(datacl) AS acl, pg_catalog.pg_roles AS roles
        WHERE datname = pg_catalog.current_database() AND privilege_type = 'CONNECT' AND roles.oid = grantee
        """
    )
    for row in roles:
        await _run(connection, f"GRANT CONNECT ON DATABASE {database} TO {row['role']}")
    await _run(connection, f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")


async def _allows_connections(connection: Connection, name: str) -> bool | None:
    allows: bool | None = await connection.fetchval(
        "SELECT datallowconn FROM pg_catalog.pg_database WHERE datname = $1", name
    )
    return allows


async def _drop(connection: Connection, target: Target, name: str) -> None:
    await check_connection(connection, target)
    if await _allows_connections(connection, name) is None:
        return
    logger.info("Dropping database %s", name)
    await _run(connection, f"DROP DATABASE IF EXISTS {quoted(name)}")


async def _run(connection: Connection, statement: str) -> None:
    try:
        await connection.execute(statement)
    except (asyncpg.LockNotAvailableError, asyncpg.ObjectInUseError) as error:
        detail = getattr(error, "detail", None)
        said = f"{error} ({detail})" if detail else f"{error}; locks are held by {await holders(connection)}"
        raise TestDatabaseError(
            f"waited {LOCK_TIMEOUT} in vain: {said}; end them and run this again"
        ) from None


async def _row(connection: Connection, query: str) -> Any:
    row = await connection.fetchrow(query)
    if row is None:
        raise TestDatabaseError("the server answered nothing; run this again")
    return row
