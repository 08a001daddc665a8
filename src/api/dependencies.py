"""What endpoints ask for."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession

from src.accounts import access_tokens, refresh_tokens
from src.accounts.access_tokens import Access
from src.core.config import Settings
from src.core.web.problems import Problem
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


def _access(
    settings: SettingsDependency,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Access:
    """What the request's access token says; 401 without one, and with a bad one."""
    if credentials is None:
        # Without an error code: nothing was shown that could be wrong (RFC 6750, 3.1).
        raise Problem(
            401,
            "not-authenticated",
            "Give an access token: Authorization: Bearer <token>.",
            headers={"WWW-Authenticate": "Bearer"},
        )
    try:
        return access_tokens.read(credentials.credentials, settings.secret_key)
    except access_tokens.InvalidAccessTokenError:
        raise _invalid_token() from None


def _invalid_token() -> Problem:
    return Problem(
        401,
        "invalid-access-token",
        "The access token is not valid or has expired. Refresh it, or log in again.",
        headers={"WWW-Authenticate": 'Bearer error="invalid_token"'},
    )


AccessDependency = Annotated[Access, Depends(_access)]


async def _current_user(access: AccessDependency, session: SessionDependency) -> User:
    """Who asks; 401 if they are no active user, or if the token's login has ended.

    A logout, another login's change of the password and a reset end access tokens at once.
    """
    user = await refresh_tokens.user_of(session, access.user_id, access.family_id)
    if user is None:
        raise _invalid_token()
    return user


CurrentUser = Annotated[User, Depends(_current_user)]
