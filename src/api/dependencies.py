"""What endpoints ask for."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession

from src.accounts import access_tokens
from src.core.config import Settings
from src.models import User

_bearer = HTTPBearer(auto_error=False, bearerFormat="JWT", description="The access token of a login.")


async def _session(request: Request) -> AsyncIterator[AsyncSession]:
    """A session of the request's own. Whoever changes something commits, before the answer is sent: what
    comes after a ``yield`` runs when the client has its answer (FastAPI 0.118 and later)."""
    async with request.app.state.sessions() as session:
        yield session


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def _redis(request: Request) -> Redis:
    redis: Redis = request.app.state.redis
    return redis


SessionDependency = Annotated[AsyncSession, Depends(_session)]
SettingsDependency = Annotated[Settings, Depends(_settings)]
RedisDependency = Annotated[Redis, Depends(_redis)]


async def _current_user(
    session: SessionDependency,
    settings: SettingsDependency,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> User:
    """Who asks, by their access token. 401 without one, with a bad one, and when the user may no longer."""
    if credentials is None:
        # Without an error code: nothing was shown that could be wrong (RFC 6750, 3.1).
        raise HTTPException(401, "No access token was given.", {"WWW-Authenticate": "Bearer"})
    try:
        user_id = access_tokens.subject(credentials.credentials, settings.secret_key)
    except access_tokens.InvalidAccessTokenError:
        user = None
    else:
        user = await session.get(User, user_id)
    if user is None or not user.is_active:
        raise HTTPException(
            401,
            "The access token is not valid or has expired.",
            {"WWW-Authenticate": 'Bearer error="invalid_token"'},
        )
    return user


CurrentUser = Annotated[User, Depends(_current_user)]
