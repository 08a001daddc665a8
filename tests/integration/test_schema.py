"""The schema that the migrations made: the models' own, and what the app's role may do in it."""

import pytest
import sqlalchemy as sa
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from src.core.config import OwnerSettings
from src.core.schema.migrate import schema_differences
from src.models import metadata
from src.models.provider import ConnectionStatus

ORDINARY = {"SELECT", "INSERT", "UPDATE", "DELETE"}
PRIVILEGES = dict.fromkeys(metadata.tables, ORDINARY) | {
    "provider_audit_logs": {"SELECT", "INSERT"},
    "alembic_version": {"SELECT"},
}


STATUSES = ", ".join(f"'{value}'" for value in ConnectionStatus)


def changed(name: str, expression: str, more: str = "") -> str:
    """A statement that gives a constraint of provider_connections another expression."""
    constraint = f"ck_provider_connections_{name}"
    return (
        f"ALTER TABLE provider_connections DROP CONSTRAINT {constraint},"
        f" ADD CONSTRAINT {constraint} CHECK ({expression}){more}"
    )


async def test_models_and_migrations_agree(owner: AsyncConnection) -> None:
    assert await owner.run_sync(schema_differences) == []


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("ALTER TABLE users DROP COLUMN name", "name"),
        ("ALTER TABLE users ALTER COLUMN name TYPE text", "TEXT"),
        ("ALTER TABLE users ALTER COLUMN is_active DROP DEFAULT", "is_active"),
        ("ALTER TABLE users ALTER COLUMN name DROP NOT NULL", "modify_nullable"),
        ("DROP INDEX ix_provider_tokens_expires_at", "ix_provider_tokens_expires_at"),
        ("DROP TABLE provider_tokens", "provider_tokens"),
        ("CREATE TABLE left_behind (id int)", "left_behind"),
        (
            "ALTER TABLE providers DROP CONSTRAINT ck_providers_alias_not_empty",
            "ck_providers_alias_not_empty",
        ),
        ("ALTER TABLE users ADD CONSTRAINT ck_more CHECK (name <> 'x')", "ck_more"),
        (changed("status_known", "status IN ('pending', 'active')"), "status_known"),
        (changed("status_known", f"status IN ({STATUSES}, 'new')"), "status_known"),
        (changed("error_count_not_negative", "error_count >= -1"), "error_count_not_negative"),
        (changed("error_count_not_negative", "error_count >= 0", " NOT VALID"), "error_count_not_negative"),
        ('DROP EXTENSION "uuid-ossp" CASCADE', "extension uuid-ossp is missing"),
    ],
)
# SQLAlchemy's own reflection of NOT VALID.
@pytest.mark.filterwarnings("ignore:Can't validate argument 'dialect_options'")
async def test_a_difference_is_named(owner: AsyncConnection, statement: str, named: str) -> None:
    await owner.execute(text(statement))
    differences = await owner.run_sync(schema_differences)
    assert any(named in difference for difference in differences), differences


async def test_checks_that_were_dumped_and_restored_are_no_difference(owner: AsyncConnection) -> None:
    """PostgreSQL stores its own rendering of an expression in yet another form."""
    rows = await owner.execute(
        text(
            "SELECT format('ALTER TABLE %s DROP CONSTRAINT %I, ADD CONSTRAINT %I %s',"
            " conrelid::regclass, conname, conname, pg_get_constraintdef(oid)) FROM pg_constraint"
            " WHERE contype = 'c' AND connamespace = 'public'::regnamespace"
        )
    )
    statements = list(rows.scalars())
    assert statements
    for statement in statements:
        await owner.execute(text(statement.replace(":", r"\:")))
    assert await owner.run_sync(schema_differences) == []


@pytest.mark.parametrize("table", sorted(PRIVILEGES))
async def test_the_apps_role_may_do_exactly_this(
    owner: AsyncConnection, settings: OwnerSettings, table: str
) -> None:
    rows = await owner.execute(
        text(
            "SELECT privilege_type FROM information_schema.role_table_grants"
            " WHERE table_schema = 'public' AND table_name = :table AND grantee IN (:role, 'PUBLIC')"
        ),
        {"table": table, "role": settings.runtime.username},
    )
    assert set(rows.scalars()) == PRIVILEGES[table]


async def test_no_table_was_forgotten(owner: AsyncConnection) -> None:
    tables = await owner.run_sync(lambda connection: sa.inspect(connection).get_table_names())
    assert set(tables) == set(PRIVILEGES)


async def test_the_apps_role_owns_nothing(owner: AsyncConnection, settings: OwnerSettings) -> None:
    owners = await owner.execute(
        text(
            "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            " UNION SELECT pg_get_userbyid(proowner) FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
            " UNION SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
        )
    )
    assert settings.runtime.username not in set(owners.scalars())


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (id int)",
        "CREATE SCHEMA mine",
        "DROP TABLE users",
        "TRUNCATE users",
        "ALTER TABLE users ADD COLUMN mine int",
        "UPDATE provider_audit_logs SET action = 'x'",
        "DELETE FROM provider_audit_logs",
        "TRUNCATE provider_audit_logs",
        "UPDATE alembic_version SET version_num = 'x'",
        "CREATE ROLE mine",
    ],
)
async def test_the_apps_role_may_not(runtime: AsyncConnection, statement: str) -> None:
    with pytest.raises(DBAPIError, match=r"permission denied|must be owner"):
        await runtime.execute(text(statement))


async def test_neither_role_administers(owner: AsyncConnection, settings: OwnerSettings) -> None:
    rows = await owner.execute(
        text(
            "SELECT rolname, rolcreatedb,"
            " rolsuper OR rolcreaterole OR rolbypassrls OR rolreplication AS powerful"
            " FROM pg_roles WHERE rolname = ANY (:names)"
        ),
        {"names": [settings.owner.username, settings.runtime.username]},
    )
    found = {row.rolname: row for row in rows}
    assert not found[settings.owner.username].powerful
    assert not found[settings.runtime.username].powerful
    assert not found[settings.runtime.username].rolcreatedb
