import uuid
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import AwareDatetime, BaseModel, Field

from src.api.dependencies import CurrentUser, RedisDependency, SessionDependency, SettingsDependency
from src.api.provider_types import ProviderTypes
from src.connections import connecting, providers, refreshing, revoking
from src.connections.audit import Origin
from src.connections.context import Context
from src.connections.providers import Standing
from src.core.web.problems import responses
from src.core.web.rate_limits import check
from src.models.provider import ConnectionStatus


def _context(
    request: Request,
    session: SessionDependency,
    redis: RedisDependency,
    settings: SettingsDependency,
    provider_types: ProviderTypes,
) -> Context:
    return Context(
        session=session,
        audit_sessions=request.app.state.audit_sessions,
        redis=redis,
        settings=settings,
        keyring=request.app.state.keyring,
        provider_types=provider_types,
        origin=Origin.of(request.client.host if request.client else None, request.headers.get("User-Agent")),
    )


ContextDependency = Annotated[Context, Depends(_context)]

router = APIRouter(
    prefix="/providers/{provider_id}/authorization",
    tags=["authorization"],
    responses=responses(401, 404, 422),
)


class LinkOut(BaseModel):
    """What to open in the browser that is to finish."""

    auth_url: str = Field(description="Good for one browser, once.")
    state: str
    expires_in: int = Field(description="Seconds until it must be finished.")


class AuthorizationOut(BaseModel):
    """How a connection stands."""

    provider_id: uuid.UUID
    status: ConnectionStatus
    connected_at: AwareDatetime | None
    scope: str | None
    access_token_expires_at: AwareDatetime | None
    consent_expires_at: AwareDatetime | None = Field(description="When a person must consent again.")
    last_refreshed_at: AwareDatetime | None
    refresh_count: int
    last_error: str | None = Field(description="The problem with the last refresh, if it failed.")
    last_error_at: AwareDatetime | None
    error_count: int = Field(description="Failures since the last success.")

    @classmethod
    def of(cls, standing: Standing) -> "AuthorizationOut":
        connection, token = standing.connection, standing.token

        def of_token(name: str) -> datetime | None:
            value: datetime | None = getattr(token, name, None)
            return value

        return cls(
            provider_id=standing.provider.id,
            status=standing.status,
            connected_at=connection.connected_at if connection else None,
            scope=token.scope if token else None,
            access_token_expires_at=of_token("expires_at"),
            consent_expires_at=of_token("refresh_expires_at"),
            last_refreshed_at=of_token("last_refreshed_at"),
            refresh_count=token.refresh_count if token else 0,
            last_error=connection.last_error if connection else None,
            last_error_at=connection.last_error_at if connection else None,
            error_count=connection.error_count if connection else 0,
        )


@router.post("", responses=responses(409, 429))
async def start_authorization(
    request: Request, user: CurrentUser, context: ContextDependency, provider_id: uuid.UUID
) -> LinkOut:
    """Begin to connect: open `auth_url` in a browser, log in at the provider and agree.

    The browser that opened it ends at a page that says whether it worked; then the status is `active`.
    """
    await check(request, "authorization-start", "20/minute", str(user.id))
    standing = await providers.get(context.session, user.id, provider_id)
    link = await connecting.start(context, standing.provider)
    return LinkOut(auth_url=link.auth_url, state=link.state, expires_in=link.expires_in)


@router.get("")
async def get_authorization(
    user: CurrentUser, session: SessionDependency, provider_id: uuid.UUID
) -> AuthorizationOut:
    """How the connection stands. The provider is not asked."""
    return AuthorizationOut.of(await providers.get(session, user.id, provider_id))


@router.patch("", responses=responses(409, 429, 502, 504))
async def refresh_authorization(
    request: Request, user: CurrentUser, context: ContextDependency, provider_id: uuid.UUID
) -> AuthorizationOut:
    """Get new tokens from the provider now."""
    await check(request, "authorization-refresh", "20/minute", str(user.id))
    standing = await providers.get(context.session, user.id, provider_id)
    return AuthorizationOut.of(await refreshing.refresh(context, standing.provider))


@router.delete("", status_code=204)
async def revoke_authorization(user: CurrentUser, context: ContextDependency, provider_id: uuid.UUID) -> None:
    """End the connection: tokens are forgotten, and revoked at a provider that has where."""
    await revoking.revoke(context, user.id, provider_id)
