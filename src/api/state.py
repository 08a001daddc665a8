"""What all requests share, with types: ``app.state`` by itself has none."""

from collections.abc import Mapping

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from starlette.datastructures import State
from starlette.requests import Request

from src.core.config import Settings
from src.core.security.encryption import Keyring
from src.core.web.rate_limits import RateLimiter
from src.provider_types import ProviderType


class AppState(State):
    """Set in :mod:`src.main`: the first three with the app, the others when it starts."""

    settings: Settings
    keyring: Keyring
    provider_types: Mapping[str, ProviderType]
    engine: AsyncEngine
    sessions: async_sessionmaker[AsyncSession]
    # For entries of the audit log that stay, whatever becomes of the request.
    audit_sessions: async_sessionmaker[AsyncSession]
    redis: Redis
    rate_limiter: RateLimiter
    # The revisions of the newest migrations, which the database should have.
    migration_heads: frozenset[str]


def app_state(request: Request) -> AppState:
    """Return the state of the app that serves ``request``."""
    state: AppState = request.app.state
    return state
