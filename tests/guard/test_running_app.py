"""The app goes on through an initialisation: `make test` restarts it only for code that it does not run yet.

Its connections, their prepared statements and their cached plans are older than the tables they are about.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from src.accounts import access_tokens
from src.core.config import Settings
from src.main import create_app
from src.models import User
from tests import factories
from tests.guard.scratch import Database, Init

# As many as the app's pool keeps.
AT_ONCE = 5
BACKENDS = text(
    "SELECT pid FROM pg_stat_activity "
    "WHERE datname = current_database() AND usename = current_user ORDER BY pid"
)


@pytest.fixture
async def app(init: Init, scratch: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FastAPI]:
    assert (await asyncio.to_thread(init, scratch.environ)).code == 0
    for name in ("ENVIRONMENT", "TESTING", "APP_DATABASE_URL"):
        monkeypatch.setenv(name, scratch.environ[name])
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/1")
    monkeypatch.setenv("SECRET_KEY", "Zq8vN2xLr4Ta9KpWm3Hs7Yd1Bf6Gc5Ej0UiOoPq")
    monkeypatch.setenv("ENCRYPTION_KEY", "v6HpNmfQnEMu_Kti7urtz3HiD2IGvQHdhsciuCTLulY=")
    monkeypatch.setenv("RELAY_TOKEN", "mP4xK7cV1bT9zR2nW6qL8sD3fG5hJ0yUaEiOtNk")
    monkeypatch.setenv("SSL_ENABLED", "false")
    app = create_app()
    async with app.router.lifespan_context(app):
        yield app


async def use(app: FastAPI) -> tuple[list[Any], list[int]]:
    """Read, write and audit, several requests at a time.

    Returns what /ready says, and the processes on the server that the app's connections lead to.
    """
    settings: Settings = app.state.settings
    async with app.state.sessions() as session:
        users: list[User] = [await factories.user(session) for _ in range(AT_ONCE)]

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://app") as http:

        async def one(user: User) -> None:
            token = access_tokens.issue(user.id, settings.secret_key, user.id)
            headers = {"Authorization": f"Bearer {token}"}
            me = await http.get("/api/v1/auth/me", headers=headers)
            assert me.json()["email"] == user.email, me.text
            new = {"provider_key": "schwab", "alias": "Savings"}
            made = await http.post("/api/v1/providers", json=new, headers=headers)
            assert made.status_code == 201, made.text
            listed = await http.get("/api/v1/providers", headers=headers)
            assert [each["id"] for each in listed.json()["items"]] == [made.json()["id"]], listed.text
            again = await http.post("/api/v1/providers", json=new, headers=headers)
            assert again.status_code == 409, again.text

        # Beyond the fifth, a statement that is executed often has a generic plan, which is cached.
        for user in users:
            await one(user)
        async with app.state.sessions() as session:
            users = [await factories.user(session) for _ in range(AT_ONCE)]
        await asyncio.gather(*map(one, users))
        ready = (await http.get("/ready")).json()["checks"]
    async with app.state.engine.connect() as connection:
        backends = list(await connection.scalars(BACKENDS))
    return [ready["database"], ready["migrations"]], backends


async def test_a_running_app_serves_the_new_schema(init: Init, scratch: Database, app: FastAPI) -> None:
    before = await use(app)
    old = scratch.sql("SELECT 'users'::regclass::oid")
    assert (await asyncio.to_thread(init, scratch.environ)).code == 0
    assert scratch.sql("SELECT 'users'::regclass::oid") != old
    assert scratch.sql("SELECT count(*) FROM users") == "0"
    # Three times: a plan that is invalid once is replaced, and must work as often as the first one.
    for _ in range(3):
        after = await use(app)
        assert after == before, "the app has reconnected, or is not ready"
    assert before[0] == ["ok", "ok"]
    assert len(before[1]) >= 2
