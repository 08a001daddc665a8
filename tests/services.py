"""Fixtures of real PostgreSQL and Redis, as the container's environment names them.

Each worker (``-n``; else there is one) has a clone of the template, whatever smoke tests do to the database
of the servers, and each test there a transaction that is rolled back. Tests that commit or that change the
schema have a clone of their own each time. Redis keys carry the worker's prefix.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from urllib.parse import quote

import pytest
from redis.asyncio import Redis
from sqlalchemy import NullPool
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
)

from src.core.config import OwnerSettings, Settings, load
from src.core.database import engine_of
from src.core.redis import tls_arguments
from src.core.test_databases import clones

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
# Clones for tests that commit or migrate, beyond any number of workers.
SCRATCH = f"gw{9000 + int(WORKER.removeprefix('gw'))}"


def of_database(name: str) -> OwnerSettings:
    settings = load(OwnerSettings)
    urls = (settings.database_url.get_secret_value(), settings.app_database_url.get_secret_value())
    owner, runtime = (f"{url.rpartition('/')[0]}/{quote(name, safe='')}" for url in urls)
    return OwnerSettings(DATABASE_URL=owner, APP_DATABASE_URL=runtime)


@pytest.fixture(scope="session")
def settings() -> Iterator[OwnerSettings]:
    """Where this worker's tests find their schema."""
    name = asyncio.run(clones.clone(os.environ, WORKER))
    yield of_database(name)
    asyncio.run(clones.drop(os.environ, WORKER))


@pytest.fixture
def app_settings(settings: OwnerSettings, redis_prefix: str) -> Settings:
    """What an app process in this database would have."""
    update = {"app_database_url": settings.app_database_url, "redis_key_prefix": redis_prefix}
    return load(Settings).model_copy(update=update)


@pytest.fixture
async def scratch() -> AsyncIterator[OwnerSettings]:
    """A database at the head, for one test that may do anything to it."""
    async with clones.worker_database(os.environ, SCRATCH) as name:
        yield of_database(name)


@pytest.fixture(scope="session")
async def owner_engine(settings: OwnerSettings) -> AsyncIterator[AsyncEngine]:
    engine = engine_of(settings.owner, poolclass=NullPool)
    yield engine
    await engine.dispose()


@pytest.fixture
async def owner(owner_engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """The owner's connection, in a transaction that is rolled back."""
    async with owner_engine.connect() as connection:
        await connection.begin()
        yield connection
        await connection.rollback()


@pytest.fixture(scope="session")
async def runtime_engine(settings: OwnerSettings) -> AsyncIterator[AsyncEngine]:
    engine = engine_of(settings.runtime, pool_size=1, pool_pre_ping=True)
    yield engine
    await engine.dispose()


@pytest.fixture
async def runtime(runtime_engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """The connection of the app's role, in a transaction that is rolled back."""
    before = asyncio.all_tasks()
    async with runtime_engine.connect() as connection:
        await connection.begin()
        yield connection
        # What a failed test has left running would go on in the next ones, with which it shares a loop.
        left = asyncio.all_tasks() - before - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await connection.rollback()


@pytest.fixture
def sessions(runtime: AsyncConnection) -> async_sessionmaker[AsyncSession]:
    """Sessions whose commits are savepoints of the test's own transaction."""
    return async_sessionmaker(runtime, expire_on_commit=False, join_transaction_mode="create_savepoint")


@pytest.fixture
async def session(sessions: async_sessionmaker[AsyncSession]) -> AsyncIterator[AsyncSession]:
    """The test's own session. What it changes the app sees once it is committed; what the app changed it sees
    after ``refresh``, ``expire_all`` or in rows that it has not loaded before."""
    async with sessions() as session:
        yield session


@pytest.fixture
def redis_prefix() -> str:
    return f"{WORKER}:"


@pytest.fixture
async def redis(redis_prefix: str) -> AsyncIterator[Redis]:
    """A client; keys start with ``redis_prefix``, and those are removed in the end."""
    settings = load(Settings)
    url = settings.redis_url.get_secret_value()
    client = Redis.from_url(url, decode_responses=True, **tls_arguments(settings))
    yield client
    keys = [key async for key in client.scan_iter(f"{redis_prefix}*")]
    if keys:
        await client.delete(*keys)
    await client.aclose()
