"""The part of the test initialisation that connects: layers 4 to 6, and what they permit.

Apart from :mod:`src.core.init_test_db`, so that a refusal by layers 1 to 3 imports no driver and no settings.
"""

import logging

import asyncpg
from asyncpg import Connection
from sqlalchemy import StaticPool
from sqlalchemy.ext.asyncio import create_async_engine

from src.core.config import ConfigurationError, OwnerSettings, load
from src.core.schema.migrate import LOCK, run_migrations, schema_differences
from src.core.test_databases.clones import check_connection, connect, drop_leftovers, fill_template, holders
from src.core.test_databases.policy import RefusalError, Target, TestDatabaseError
from src.models import metadata

MARK = "dashtam.disposable=on"
FAST_SETTINGS = ("fsync", "full_page_writes", "synchronous_commit")

# What a database can hold that is not the system's. An extension in a schema goes with the schema, whoever
# made it; plpgsql comes with every database.
DOOMED = """
    SELECT what, statement FROM (
        SELECT 1, 'schema ' || nspname, pg_catalog.format('DROP SCHEMA %I CASCADE', nspname)
        FROM pg_catalog.pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
        UNION ALL
        SELECT 2, 'extension ' || extname, pg_catalog.format('DROP EXTENSION IF EXISTS %I CASCADE', extname)
        FROM pg_catalog.pg_extension WHERE extname <> 'plpgsql'
        UNION ALL
        SELECT 3, 'publication ' || pubname, pg_catalog.format('DROP PUBLICATION IF EXISTS %I', pubname)
        FROM pg_catalog.pg_publication
        UNION ALL
        SELECT 4, 'large object ' || oid, pg_catalog.format('SELECT pg_catalog.lo_unlink(%s)', oid)
        FROM pg_catalog.pg_largeobject_metadata
    ) AS doomed (rank, what, statement)
    ORDER BY rank, what
"""
# As initdb makes it.
PUBLIC = """
    CREATE SCHEMA public AUTHORIZATION pg_database_owner;
    COMMENT ON SCHEMA public IS 'standard public schema';
    GRANT USAGE ON SCHEMA public TO PUBLIC;
"""

logger = logging.getLogger(__name__)


async def rebuild(target: Target, identity: str) -> None:
    """Prove layers 4 to 6, drop everything, migrate, verify, and fill the workers' template."""
    try:
        runtime_role = load(OwnerSettings).runtime.username or ""
    except ConfigurationError as error:
        raise TestDatabaseError(str(error)) from None
    connection = await connect(target, application="init_test_db")
    try:
        # Before anything is locked; after each wait again, because meanwhile anything may have changed.
        await _check(connection, target, identity)
        try:
            # Kept to this session's end: another initialisation and a starting app wait, or give up.
            await connection.execute(f"SELECT pg_catalog.pg_advisory_lock({LOCK})")
            await _check(connection, target, identity)
            # No transaction can drop a database, so this comes before the one that drops everything else.
            await drop_leftovers(connection, target)
            async with connection.transaction():
                await _check(connection, target, identity)
                await _drop_everything(connection)
                await _make_schema(connection, runtime_role)
                await _check_settings(connection)
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            raise TestDatabaseError(
                f"waited in vain for a lock held by {await holders(connection)}; "
                "the schema is as it was; end what they do and run this again"
            ) from None
        await fill_template(connection, target, lambda template: _fill(template, runtime_role))
    finally:
        await connection.close()


async def _check(connection: Connection, target: Target, identity: str) -> None:
    """Layers 4 to 6."""
    await check_connection(connection, target)
    # Only a superuser can write this row. What a session, a role or the server's flags set is not looked at.
    marked = await connection.fetchval(
        """
        SELECT $1 = ANY (setconfig) FROM pg_catalog.pg_db_role_setting
        JOIN pg_catalog.pg_database ON pg_database.oid = setdatabase
        WHERE datname = pg_catalog.current_database() AND setrole = 0
        """,
        MARK,
    )
    if not marked:
        raise RefusalError(
            5,
            f"{target.database!a} does not carry {MARK}, the mark that the postgres role writes where "
            "postgres_disposable is true",
        )
    found = await connection.fetchval(
        """
        SELECT system_identifier || ':' || pg_database.oid
        FROM pg_catalog.pg_control_system(), pg_catalog.pg_database
        WHERE datname = pg_catalog.current_database()
        """
    )
    if found != identity:
        raise RefusalError(
            6,
            f"{target.where} has the identity {found}, while TEST_DATABASE_IDENTITY is {identity}: "
            "this is not the database that was looked at inside the container",
        )


async def _drop_everything(connection: Connection) -> None:
    for row in await connection.fetch(DOOMED):
        logger.info("Dropping %s", row["what"])
        await connection.execute(row["statement"])
    logger.info("Recreating schema public")
    await connection.execute(PUBLIC)


async def _make_schema(connection: Connection, runtime_role: str) -> None:
    """Migrate and compare with the models, on this very connection and in the transaction open on it."""

    async def opened() -> Connection:
        return connection

    # AUTOCOMMIT takes commit and rollback away from SQLAlchemy and from every migration: the transaction
    # belongs to who opened it, and so does the connection, which StaticPool leaves open.
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=opened,
        hide_parameters=True,
        isolation_level="AUTOCOMMIT",
        poolclass=StaticPool,
    )
    await connection.execute("SET LOCAL search_path TO public, pg_temp")
    async with engine.connect() as schema:
        await schema.run_sync(run_migrations, runtime_role)
        differences = await schema.run_sync(schema_differences)
    if not connection.is_in_transaction():
        raise TestDatabaseError("a migration has ended the transaction that it runs in; take that out of it")
    if differences:
        raise TestDatabaseError(f"models and migrations disagree: {'; '.join(differences)}")
    for table in metadata.sorted_tables:
        logger.info("Verified table %s", table.name)


async def _fill(template: Connection, runtime_role: str) -> None:
    async with template.transaction():
        await _make_schema(template, runtime_role)


async def _check_settings(connection: Connection) -> None:
    """They are flags of the server, given by the postgres role; nothing here could set them."""
    slow = await connection.fetch(
        "SELECT name, setting FROM pg_catalog.pg_settings WHERE name = ANY ($1) AND setting <> 'off'",
        FAST_SETTINGS,
    )
    for row in slow:
        logger.warning("%s is %s, so tests are slow; postgres_durability: fast sets it off", *row)
