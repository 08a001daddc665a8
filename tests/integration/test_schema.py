"""The schema that the migrations made: the models' own, and what the app's role may do in it."""

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import CheckConstraint, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from src.core.config import OwnerSettings
from src.core.migrate import schema_differences
from src.models import metadata

ORDINARY = {"SELECT", "INSERT", "UPDATE", "DELETE"}
PRIVILEGES = dict.fromkeys(metadata.tables, ORDINARY) | {
    "provider_audit_logs": {"SELECT", "INSERT"},
    "alembic_version": {"SELECT"},
}


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
        ('DROP EXTENSION "uuid-ossp" CASCADE', "extension uuid-ossp is missing"),
    ],
)
async def test_a_difference_is_named(owner: AsyncConnection, statement: str, named: str) -> None:
    await owner.execute(text(statement))
    differences = await owner.run_sync(schema_differences)
    assert any(named in difference for difference in differences), differences


async def test_checks_are_the_models(owner: AsyncConnection) -> None:
    """Alembic compares no check constraints."""
    rows = await owner.execute(
        text(
            "SELECT conname FROM pg_constraint WHERE contype = 'c' AND connamespace = 'public'::regnamespace"
        )
    )
    expected = {
        str(constraint.name)
        for table in metadata.tables.values()
        for constraint in table.constraints
        if isinstance(constraint, CheckConstraint)
    }
    assert set(rows.scalars()) == expected


async def test_status_check_lists_the_models_values(owner: AsyncConnection) -> None:
    """The same names could carry other values."""
    for table in metadata.tables.values():
        found: dict[str, Any] = {
            item["name"]: item["sqltext"]
            for item in await owner.run_sync(
                lambda connection, name=table.name: sa.inspect(connection).get_check_constraints(name)
            )
        }
        for constraint in table.constraints:
            if isinstance(constraint, CheckConstraint):
                for value in str(constraint.sqltext).split("'")[1::2]:
                    assert f"'{value}'" in found[str(constraint.name)]


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
