"""The app in this process, on real PostgreSQL and Redis, in the test's own transaction.

The app's sessions and the test's share one connection, that of the runtime role: a commit ends a savepoint,
and all of it is rolled back when the test is over. One connection does one thing at a time: requests that
overlap are tested in ``committing/``, on a clone of the database where commits are real.
"""

import logging
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache

import httpx
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from src.accounts import access_tokens, mail, passwords
from src.core.config import Settings, load
from src.core.database import create_engine
from src.core.schema.revisions import heads
from src.core.web.rate_limits import RateLimiter
from src.main import configure, create_app
from src.models import User
from tests import factories, services
from tests.api import fake_schwab


def pytest_configure(config: pytest.Config) -> None:
    # `pytest_plugins` is permitted in tests/conftest.py alone, where it would load them for unit tests, too.
    for module in (services, fake_schwab):
        if not config.pluginmanager.has_plugin(module.__name__):
            config.pluginmanager.register(module, module.__name__)


Login = Callable[[User], dict[str, str]]


@pytest.fixture(autouse=True)
def _cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2 at its cheapest, else it would be half of what these tests take."""
    monkeypatch.setattr(passwords, "hasher", factories.hasher)


@pytest.fixture(scope="session")
def _routed() -> FastAPI:
    """FastAPI takes a tenth of a second to look at all endpoints when the first request comes."""
    return create_app(load(Settings))


@pytest.fixture
async def app(
    _routed: FastAPI, app_settings: Settings, sessions: async_sessionmaker[AsyncSession], redis: Redis
) -> AsyncIterator[FastAPI]:
    """An app of the test's own in all but the routes."""
    app = _routed
    state = configure(app, app_settings)
    state.engine = create_engine(app_settings)
    state.sessions = state.audit_sessions = sessions
    state.redis = redis
    state.rate_limiter = RateLimiter(redis, app_settings.redis_key_prefix)
    state.migration_heads = _heads()
    yield app
    await state.engine.dispose()


_heads = cache(heads)


@asynccontextmanager
async def without_redis(app: FastAPI) -> AsyncIterator[None]:
    """Inside, the app's Redis does not answer."""
    redis, rate_limiter = app.state.redis, app.state.rate_limiter
    app.state.redis = away = Redis.from_url("redis://127.0.0.1:1", decode_responses=True)
    app.state.rate_limiter = RateLimiter(away, app.state.settings.redis_key_prefix)
    yield
    app.state.redis, app.state.rate_limiter = redis, rate_limiter
    await away.aclose()


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Whatever the app does not handle is an answer with 500, as it is for a real client.

    Every answer must be one that the OpenAPI document has for its operation.
    """

    documented = _documented()

    async def is_documented(response: httpx.Response) -> None:
        for (method, path), statuses in documented.items():
            if method == response.request.method and path.fullmatch(response.url.path.removesuffix("/")):
                assert str(response.status_code) in statuses, response.text

    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=False),
        base_url="https://app",
        event_hooks={"response": [is_documented]},
    ) as client:
        yield client


@cache
def _documented() -> dict[tuple[str, re.Pattern[str]], set[str]]:
    """Of each operation in the OpenAPI document, the statuses that it has."""
    return {
        (method.upper(), re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)))): set(
            operation["responses"]
        )
        for path, operations in create_app().openapi()["paths"].items()
        for method, operation in operations.items()
    }


@dataclass(frozen=True)
class ReceivedMail:
    to: str
    subject: str
    link: str

    @property
    def token(self) -> str:
        return self.link.partition("?token=")[2]


@pytest.fixture
def mails() -> Iterator[list[ReceivedMail]]:
    """All mails that were sent so far."""
    received: list[ReceivedMail] = []

    class Mailbox(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            assert isinstance(record.args, tuple)
            received.append(ReceivedMail(*map(str, record.args)))

    mailbox = Mailbox()
    mail.logger.addHandler(mailbox)
    yield received
    mail.logger.removeHandler(mailbox)


@pytest.fixture
async def user(session: AsyncSession) -> User:
    return await factories.user(session, email="ann@example.org", name="Ann")


@pytest.fixture
async def other_user(session: AsyncSession) -> User:
    return await factories.user(session, email="bob@example.org", name="Bob")


@pytest.fixture
def login(app_settings: Settings) -> Login:
    """The headers of requests that a user of ``factories`` sends."""

    def headers(user: User) -> dict[str, str]:
        return {"Authorization": f"Bearer {access_tokens.issue(user.id, app_settings.secret_key, user.id)}"}

    return headers
