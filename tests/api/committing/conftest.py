"""Commits are real here: each test has a clone of the database, and the app a pool of connections to it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from src.core.config import OwnerSettings, Settings
from src.core.database import create_engine, create_sessions
from src.models import Provider, User

WAITING = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)
Hold = Callable[[User | Provider], AbstractAsyncContextManager[Callable[[int], Awaitable[None]]]]


@pytest.fixture
def app_settings(app_settings: Settings, scratch: OwnerSettings) -> Settings:
    return app_settings.model_copy(update={"app_database_url": scratch.app_database_url})


@pytest.fixture
async def engine(app_settings: Settings) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(app_settings)
    yield engine
    await engine.dispose()


@pytest.fixture
def sessions(engine: AsyncEngine) -> async_sessionmaker[AsyncSession]:
    return create_sessions(engine)


@pytest.fixture
def hold(engine: AsyncEngine) -> Hold:
    """Hold a row; what is yielded waits until so many transactions wait for it."""

    async def until_waiting(number: int) -> None:
        async with asyncio.timeout(60), engine.connect() as watching:
            await watching.execution_options(isolation_level="AUTOCOMMIT")
            while await watching.scalar(WAITING) != number:  # noqa: ASYNC110 - the server tells nobody
                await asyncio.sleep(0.01)

    @asynccontextmanager
    async def holding(row: User | Provider) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
        async with engine.connect() as holder:
            table = type(row)
            await holder.execute(select(table.id).where(table.id == row.id).with_for_update())
            yield until_waiting

    return holding
