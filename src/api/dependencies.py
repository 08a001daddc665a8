"""What endpoints ask for."""

from collections.abc import AsyncIterator, Mapping
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession

from src.accounts import access_tokens, refresh_tokens
from src.accounts.access_tokens import Access
from src.api.state import AppState, app_state
from src.connections.audit import AuditTrail, ClientInfo
from src.connections.context import Context, OAuth
from src.core.config import Settings
from src.core.web.problems import Problem
from src.core.web.rate_limits import RateLimiter
from src.models import User
from src.provider_types import ProviderType

_bearer = HTTPBearer(
    auto_error=False,
    bearerFormat="JWT",
    description="The `access_token` that `POST /api/v1/auth/login` returned, without quotation marks.",
)

StateDependency = Annotated[AppState, Depends(app_state)]


async def _session(state: StateDependency) -> AsyncIterator[AsyncSession]:
    """The request's own session, committed when the endpoint has returned (:mod:`src.core.commits`)."""
    async with state.sessions() as session:
        yield session
        await session.commit()


def _settings(state: StateDependency) -> Settings:
    return state.settings


def _redis(state: StateDependency) -> Redis:
    return state.redis


def _rate_limiter(state: StateDependency) -> RateLimiter:
    return state.rate_limiter


def _provider_types(state: StateDependency) -> Mapping[str, ProviderType]:
    return state.provider_types


# FastAPI ends a dependency of this scope before it sends the response, others after that.
SessionDependency = Annotated[AsyncSession, Depends(_session, scope="function")]
SettingsDependency = Annotated[Settings, Depends(_settings)]
RedisDependency = Annotated[Redis, Depends(_redis)]
RateLimiterDependency = Annotated[RateLimiter, Depends(_rate_limiter)]
ProviderTypes = Annotated[Mapping[str, ProviderType], Depends(_provider_types)]


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


def _context(request: Request, session: SessionDependency, state: StateDependency) -> Context:
    client_info = ClientInfo.from_request(
        request.client.host if request.client else None, request.headers.get("User-Agent")
    )
    return Context(
        session=session,
        audit=AuditTrail(session, state.audit_sessions, client_info),
        oauth=OAuth(state.settings, state.redis, state.keyring, state.provider_types),
    )


ContextDependency = Annotated[Context, Depends(_context)]
