"""How a provider is connected, refreshed and disconnected."""

import uuid
from datetime import datetime

from fastapi import APIRouter
from pydantic import AwareDatetime, Field
from sqlalchemy.ext.asyncio import AsyncSession

from src.api.dependencies import ContextDependency, CurrentUser, RateLimiterDependency, SessionDependency
from src.api.schemas import Schema
from src.connections import attempts, connecting, providers, refreshing, revoking
from src.connections.attempts import Attempt, Reason
from src.connections.providers import ProviderSnapshot
from src.core.web.problems import responses
from src.models.provider import ConnectionStatus

router = APIRouter(
    prefix="/providers/{provider_id}/authorization",
    tags=["authorization"],
    responses=responses(401, 404, 422),
)


class LinkOut(Schema):
    """The link to open in a browser."""

    auth_url: str = Field(description="Works in one browser, once.")
    state: str
    expires_in: int = Field(description="Seconds until it must be finished.")


class AuthorizationOut(Schema):
    """The state of a connection."""

    provider_id: uuid.UUID
    status: ConnectionStatus
    connected_at: AwareDatetime | None
    scope: str | None
    access_token_expires_at: AwareDatetime | None
    consent_expires_at: AwareDatetime | None = Field(description="When a person must consent again.")
    last_refreshed_at: AwareDatetime | None
    refresh_count: int
    open_until: AwareDatetime | None = Field(
        description="Until when a person can still finish an authorization that was started; else null."
    )
    last_error: Reason | None = Field(
        description="Why the last attempt to connect or to refresh failed; null after a success."
    )
    last_error_detail: str | None = Field(description="The same in a sentence, for people.")
    last_error_at: AwareDatetime | None
    error_count: int = Field(description="Failed refreshes since the last success.")

    @classmethod
    def from_snapshot(cls, snapshot: ProviderSnapshot, attempt: Attempt) -> "AuthorizationOut":
        connection, token = snapshot.connection, snapshot.token

        def of_token(name: str) -> datetime | None:
            value: datetime | None = getattr(token, name, None)
            return value

        return cls(
            provider_id=snapshot.provider.id,
            status=snapshot.status,
            connected_at=connection.connected_at if connection else None,
            scope=token.scope if token else None,
            access_token_expires_at=of_token("expires_at"),
            consent_expires_at=of_token("refresh_expires_at"),
            last_refreshed_at=of_token("last_refreshed_at"),
            refresh_count=token.refresh_count if token else 0,
            open_until=attempt.open_until,
            last_error=attempt.reason,
            last_error_detail=attempt.reason.detail if attempt.reason else None,
            last_error_at=attempt.at,
            error_count=connection.error_count if connection else 0,
        )


async def _out(session: AsyncSession, snapshot: ProviderSnapshot) -> AuthorizationOut:
    attempt = await attempts.last(session, snapshot.provider.id, snapshot.connection)
    return AuthorizationOut.from_snapshot(snapshot, attempt)


@router.post("", summary="Start an authorization", responses=responses(409, 429))
async def start_authorization(
    user: CurrentUser, context: ContextDependency, rate_limiter: RateLimiterDependency, provider_id: uuid.UUID
) -> LinkOut:
    """Get the link that connects a provider.

    **Next:** open `auth_url` in a browser within ten minutes, log in at the provider and agree. Only the
    browser that opened the link can finish. It ends at a page that tells whether it worked. Then the status
    of this authorization is `active`.
    """
    await rate_limiter.check("authorization-start", "20/minute", str(user.id))
    snapshot = await providers.get(context.session, user.id, provider_id)
    link = await connecting.start(context, snapshot.provider)
    return LinkOut(auth_url=link.auth_url, state=link.state, expires_in=link.expires_in)


@router.get("", summary="Get the status of an authorization")
async def get_authorization(
    user: CurrentUser, session: SessionDependency, provider_id: uuid.UUID
) -> AuthorizationOut:
    """The state of the connection, as it is stored: the provider is not asked.

    `pending`: not connected yet. `active`: connected. `expired`: a person must connect it again. `revoked`:
    it was disconnected. `error`: the provider did not answer as expected.

    After a start, poll this: while `open_until` is set, the person is still deciding. Then `status` is
    `active`, or `last_error` says why it is not.
    """
    return await _out(session, await providers.get(session, user.id, provider_id))


@router.patch("", summary="Refresh an authorization", responses=responses(409, 429, 502, 504))
async def refresh_authorization(
    user: CurrentUser, context: ContextDependency, rate_limiter: RateLimiterDependency, provider_id: uuid.UUID
) -> AuthorizationOut:
    """Get new tokens from the provider now, whether or not the present ones are about to expire."""
    await rate_limiter.check("authorization-refresh", "20/minute", str(user.id))
    snapshot = await providers.get(context.session, user.id, provider_id)
    return await _out(context.session, await refreshing.refresh(context, snapshot.provider))


@router.delete("", summary="Revoke an authorization", status_code=204)
async def revoke_authorization(user: CurrentUser, context: ContextDependency, provider_id: uuid.UUID) -> None:
    """Disconnect a provider: delete its tokens, and revoke them at the provider if it supports that."""
    await revoking.revoke(context, user.id, provider_id)
