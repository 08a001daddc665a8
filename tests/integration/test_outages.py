"""Redis or PostgreSQL goes away under a running app, and comes back: nobody restarts the app.

Between the app and the real servers is a wire that the tests cut.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import Depends, FastAPI
from pydantic import SecretStr
from sqlalchemy import text

from src.core import database
from src.core.config import OwnerSettings, Settings
from src.core.database import create_engine, create_sessions, engine_of
from src.core.web.problems import MEDIA_TYPE
from src.core.web.rate_limits import limit
from src.main import create_app
from tests.integration.proxy import Proxy, proxy

# Seconds; that something waits for ever would be the bug.
PATIENCE = 30
READY = {"database": "ok", "redis": "ok", "migrations": "ok"}


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine fails no test; the app's own times are within what these tests wait."""
    assert database.CONNECT_TIMEOUT + database.COMMAND_TIMEOUT < PATIENCE
    monkeypatch.setattr(database, "CONNECT_TIMEOUT", PATIENCE - 5)


@asynccontextmanager
async def wire(url: str) -> AsyncIterator[tuple[Proxy, SecretStr]]:
    """A proxy to where the URL leads, and the URL that leads through it."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    async with proxy(parts.hostname, parts.port) as made:
        userinfo, at, _ = parts.netloc.rpartition("@")
        through = parts._replace(netloc=f"{userinfo}{at}127.0.0.1:{made.port}")
        yield made, SecretStr(through.geturl())


@pytest.fixture
async def redis_wire(app_settings: Settings) -> AsyncIterator[tuple[Proxy, SecretStr]]:
    async with wire(app_settings.redis_url.get_secret_value()) as made:
        yield made


@pytest.fixture
async def database_wire(scratch: OwnerSettings) -> AsyncIterator[tuple[Proxy, SecretStr]]:
    async with wire(scratch.app_database_url.get_secret_value()) as made:
        yield made


@pytest.fixture
def redis_line(redis_wire: tuple[Proxy, SecretStr]) -> Proxy:
    return redis_wire[0]


@pytest.fixture
def database_line(database_wire: tuple[Proxy, SecretStr]) -> Proxy:
    return database_wire[0]


@pytest.fixture
def app(
    app_settings: Settings,
    redis_wire: tuple[Proxy, SecretStr],
    database_wire: tuple[Proxy, SecretStr],
) -> FastAPI:
    """The app, and three endpoints that need one thing each."""
    addresses = {"redis_url": redis_wire[1], "app_database_url": database_wire[1]}
    app = create_app(app_settings.model_copy(update=addresses))

    @app.get("/api/limited", dependencies=[Depends(limit("outages", "1000/minute"))])
    async def limited() -> None:
        """Needs Redis."""

    @app.get("/api/users")
    async def users() -> int:
        """Needs the database."""
        async with app.state.sessions() as session:
            count: int = await session.scalar(text("SELECT count(*) FROM users"))
        return count

    @app.get("/api/slow")
    async def slow() -> None:
        """Is still at it when the database goes."""
        async with app.state.sessions() as session:
            await session.execute(text("SELECT pg_sleep(60)"))

    return app


@pytest.fixture
async def http(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        asyncio.timeout(PATIENCE * 2),
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://app") as client,
    ):
        yield client


async def answer(http: httpx.AsyncClient, path: str) -> int:
    response = await asyncio.wait_for(http.get(path), PATIENCE)
    if response.status_code == 503 and path != "/ready":
        assert response.headers["content-type"] == MEDIA_TYPE
        assert response.json()["type"] == "urn:dashtam:problem:service-unavailable"
        assert response.headers["retry-after"]
    return response.status_code


async def checks(http: httpx.AsyncClient) -> dict[str, str]:
    response = await asyncio.wait_for(http.get("/ready"), PATIENCE)
    found: dict[str, str] = response.json()["checks"]
    assert response.status_code == (200 if found == READY else 503)
    return found


@pytest.mark.parametrize("how", ["down", "hang"])
async def test_without_redis_what_needs_it_fails_closed_and_reading_works(
    http: httpx.AsyncClient, redis_line: Proxy, how: str
) -> None:
    assert await answer(http, "/api/limited") == 200
    assert await checks(http) == READY
    if how == "down":
        await redis_line.down()
    else:
        redis_line.hang()
    assert await answer(http, "/api/limited") == 503
    assert await answer(http, "/api/users") == 200
    assert await checks(http) == READY | {"redis": "unreachable"}
    await redis_line.up()
    assert await answer(http, "/api/limited") == 200
    assert await checks(http) == READY


async def test_a_restart_of_redis_between_requests_is_not_noticed(
    http: httpx.AsyncClient, redis_line: Proxy
) -> None:
    """The connections in the pool are broken, and only their use shows it."""
    await asyncio.gather(*(answer(http, "/api/limited") for _ in range(5)))
    await redis_line.down()
    await redis_line.up()
    assert set(await asyncio.gather(*(answer(http, "/api/limited") for _ in range(5)))) == {200}


@pytest.fixture
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The app gives a database that hangs up sooner than in earnest."""
    monkeypatch.setattr(database, "CONNECT_TIMEOUT", 5.0)
    monkeypatch.setattr(database, "COMMAND_TIMEOUT", 3.0)


@pytest.mark.parametrize("how", ["down", "hang"])
@pytest.mark.usefixtures("_soon")
async def test_without_the_database(database_line: Proxy, http: httpx.AsyncClient, how: str) -> None:
    assert await answer(http, "/api/users") == 200
    if how == "down":
        await database_line.down()
    else:
        database_line.hang()
    assert await answer(http, "/api/users") == 503
    assert await answer(http, "/api/limited") == 200
    assert await answer(http, "/health") == 200
    assert await checks(http) == READY | {"database": "unreachable", "migrations": "not at head"}
    await database_line.up()
    assert await answer(http, "/api/users") == 200
    assert await checks(http) == READY


async def test_a_restart_of_the_database_between_requests_is_not_noticed(
    http: httpx.AsyncClient, database_line: Proxy
) -> None:
    await asyncio.gather(*(answer(http, "/api/users") for _ in range(5)))
    await database_line.down()
    await database_line.up()
    assert set(await asyncio.gather(*(answer(http, "/api/users") for _ in range(5)))) == {200}


@pytest.mark.parametrize("end", ["cut", "terminated"])
async def test_a_request_in_the_middle_of_a_query(
    http: httpx.AsyncClient, database_line: Proxy, scratch: OwnerSettings, end: str
) -> None:
    running = asyncio.create_task(answer(http, "/api/slow"))
    engine = engine_of(scratch.runtime)
    asleep = "FROM pg_stat_activity WHERE query ~ '^SELECT pg_sleep' AND datname = current_database()"
    async with engine.connect() as connection, asyncio.timeout(PATIENCE):
        while True:
            await asyncio.sleep(0.05)
            if await connection.scalar(text(f"SELECT count(*) {asleep}")):
                break
        if end == "cut":
            await database_line.down()
        else:
            # As a server that shuts down does.
            await connection.execute(text(f"SELECT pg_terminate_backend(pid) {asleep}"))
    assert await running == 503
    await database_line.up()
    assert await answer(http, "/api/users") == 200
    async with engine.connect() as connection:
        await connection.execute(text(f"SELECT pg_terminate_backend(pid) {asleep}"))
    await engine.dispose()


async def test_a_database_that_does_not_exist_yet_is_unavailable(
    http: httpx.AsyncClient, app: FastAPI, app_settings: Settings, scratch: OwnerSettings
) -> None:
    """What a server says instead of letting us in is an error of the driver, and none of SQLAlchemy."""
    elsewhere = SecretStr(f"{scratch.app_database_url.get_secret_value()}_none")
    engine = create_engine(app_settings.model_copy(update={"app_database_url": elsewhere}))
    app.state.sessions = create_sessions(engine)
    assert await answer(http, "/api/users") == 503
    await engine.dispose()
