"""The app in this process, on real PostgreSQL and Redis, in the test's own transaction.

The app's sessions and the test's share one connection, that of the runtime role: a commit ends a savepoint,
and all of it is rolled back when the test is over. One connection does one thing at a time: requests that
overlap need a database that commits (``scratch``).
"""

from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from src.accounts import access_tokens
from src.core.config import Settings
from src.core.database import create_engine
from src.core.revisions import heads
from src.main import create_app
from src.models import User
from tests import factories

Login = Callable[[User], dict[str, str]]


@pytest.fixture
async def app(
    app_settings: Settings, sessions: async_sessionmaker[AsyncSession], redis: Redis
) -> AsyncIterator[FastAPI]:
    app = create_app(app_settings)
    app.state.engine = create_engine(app_settings)
    app.state.sessions = app.state.audit_sessions = sessions
    app.state.redis = redis
    app.state.migration_heads = heads()
    yield app
    await app.state.engine.dispose()


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Whatever the app does not handle is an answer with 500, as it is for a real client."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="https://app") as client:
        yield client


@pytest.fixture
async def user(session: AsyncSession) -> User:
    return await factories.user(session, email="ann@example.org", name="Ann")


@pytest.fixture
async def other_user(session: AsyncSession) -> User:
    return await factories.user(session, email="bob@example.org", name="Bob")


@pytest.fixture
def login(app_settings: Settings) -> Login:
    """The headers of a user's requests."""
    return lambda user: {"Authorization": f"Bearer {access_tokens.issue(user.id, app_settings.secret_key)}"}
