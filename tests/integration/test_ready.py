"""/ready with its real services, and with each of them missing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import httpx
from pydantic import SecretStr
from sqlalchemy import Connection, text

from src.core.config import OwnerSettings, Settings
from src.core.schema.migrate import in_transaction
from src.main import create_app


@asynccontextmanager
async def client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(settings)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://app") as http,
    ):
        yield http


def execute(statement: str, connection: Connection) -> None:
    connection.execute(text(statement))


def changed(settings: Settings, name: str, value: str) -> Settings:
    return settings.model_copy(update={name: SecretStr(value)})


async def test_ready(app_settings: Settings) -> None:
    async with client(app_settings) as http:
        response = await http.get("/ready")
    assert response.status_code == 200
    assert response.json() == {
        "status": "ready",
        "checks": {"database": "ok", "redis": "ok", "migrations": "ok"},
    }


async def test_without_redis(app_settings: Settings) -> None:
    async with client(changed(app_settings, "redis_url", "redis://127.0.0.1:1/0")) as http:
        response = await http.get("/ready")
    assert response.status_code == 503
    assert response.json()["checks"] == {"database": "ok", "redis": "unreachable", "migrations": "ok"}


async def test_without_database(app_settings: Settings) -> None:
    nowhere = "postgresql+asyncpg://app:secret@127.0.0.1:1/nowhere"
    async with client(changed(app_settings, "app_database_url", nowhere)) as http:
        response = await http.get("/ready")
    assert response.status_code == 503
    assert response.json()["checks"] == {
        "database": "unreachable",
        "redis": "ok",
        "migrations": "not at head",
    }


async def test_without_or_with_other_migrations(app_settings: Settings, scratch: OwnerSettings) -> None:
    expected = {"database": "ok", "redis": "ok", "migrations": "not at head"}
    async with client(app_settings.model_copy(update={"app_database_url": scratch.app_database_url})) as http:
        assert (await http.get("/ready")).status_code == 200
        await in_transaction(
            scratch,
            lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = 'ffff'")),
        )
        response = await http.get("/ready")
        assert response.status_code == 503
        assert response.json()["checks"] == expected
        await in_transaction(
            scratch, lambda connection: connection.execute(text("DROP TABLE alembic_version"))
        )
        assert (await http.get("/ready")).json()["checks"] == expected


async def test_where_newer_code_may_have_migrated(app_settings: Settings, scratch: OwnerSettings) -> None:
    """What the database has besides does not matter, and what it lacks does."""
    update = {"app_database_url": scratch.app_database_url, "schema_ahead": "accept"}
    async with client(app_settings.model_copy(update=update)) as http:
        for statement, status in {
            "UPDATE alembic_version SET version_num = 'ffff'": 200,
            "COMMENT ON TABLE alembic_version IS 'revisions: eeee ffff'": 503,
            "DROP TABLE alembic_version": 503,
        }.items():
            await in_transaction(scratch, partial(execute, statement))
            assert (await http.get("/ready")).status_code == status


async def test_ready_again_after_the_database_was_away(
    app_settings: Settings, scratch: OwnerSettings
) -> None:
    """Connections in the pool that the server has ended are replaced, not reported."""
    async with client(app_settings.model_copy(update={"app_database_url": scratch.app_database_url})) as http:
        assert (await http.get("/ready")).status_code == 200
        # The app's role ends its own: the owner may not.
        ended = await in_transaction(
            scratch.model_copy(update={"database_url": scratch.app_database_url}),
            lambda connection: connection.scalars(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            ).all(),
        )
        assert ended
        assert (await http.get("/ready")).status_code == 200
