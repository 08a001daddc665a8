"""What happened to connections, for good: the running app may add to the log and read it, nothing else."""

import ipaddress
import uuid
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from src.core.web.request_ids import current_request_id
from src.models import Provider, ProviderAuditLog
from src.models.provider import AuditOutcome

USER_AGENT_LENGTH = 300


class Action(StrEnum):
    PROVIDER_CREATED = "provider.created"
    PROVIDER_UPDATED = "provider.updated"
    PROVIDER_DELETED = "provider.deleted"
    AUTHORIZATION_STARTED = "authorization.started"
    # The link was opened, the browser bound and sent to the provider.
    AUTHORIZATION_OPENED = "authorization.opened"
    AUTHORIZATION_COMPLETED = "authorization.completed"
    AUTHORIZATION_REVOKED = "authorization.revoked"
    # Committed before the provider is asked: a start that nothing follows was interrupted.
    TOKEN_REFRESH_STARTED = "token.refresh_started"  # noqa: S105 - an action
    TOKEN_REFRESHED = "token.refreshed"  # noqa: S105 - an action
    TOKEN_REVOKED_AT_PROVIDER = "token.revoked_at_provider"  # noqa: S105 - an action


@dataclass(frozen=True)
class Origin:
    """Where a request came from, as it may be stored."""

    ip_address: str | None = None
    user_agent: str | None = None

    @classmethod
    def of(cls, host: str | None, user_agent: str | None) -> "Origin":
        """From whatever was sent: no address but a real one, and of the user agent what can be read."""
        try:
            # PostgreSQL's inet knows no zones.
            address = str(ipaddress.ip_address((host or "").partition("%")[0]))
        except ValueError:
            address = None
        readable = "".join(
            character if character.isprintable() else "\N{REPLACEMENT CHARACTER}"
            for character in (user_agent or "")[:USER_AGENT_LENGTH]
        )
        return cls(address, readable or None)


@dataclass(frozen=True)
class Subject:
    """Whom and what an entry is about, as far as it is known."""

    user_id: uuid.UUID | None = None
    provider_id: uuid.UUID | None = None
    provider_key: str | None = None
    connection_id: uuid.UUID | None = None

    @classmethod
    def of(cls, provider: Provider, connection_id: uuid.UUID | None = None) -> "Subject":
        return cls(provider.user_id, provider.id, provider.provider_key, connection_id)


NOBODY = Subject()


def outcome(failed: bool) -> AuditOutcome:
    return AuditOutcome.FAILURE if failed else AuditOutcome.SUCCESS


def record(
    session: AsyncSession,
    action: Action,
    origin: Origin,
    subject: Subject = NOBODY,
    outcome: AuditOutcome = AuditOutcome.SUCCESS,
    **details: Any,
) -> None:
    """Add an entry to the transaction of the change that it tells of.

    ``details`` are words of our own: never a token, a code, a state, nor what a provider or a browser wrote.
    """
    request_id = current_request_id()
    session.add(
        ProviderAuditLog(
            user_id=subject.user_id,
            provider_id=subject.provider_id,
            provider_key=subject.provider_key,
            connection_id=subject.connection_id,
            action=action,
            outcome=outcome,
            details=details | ({"request_id": request_id} if request_id else {}),
            ip_address=origin.ip_address,
            user_agent=origin.user_agent,
        )
    )


async def record_alone(
    audit_sessions: async_sessionmaker[AsyncSession],
    action: Action,
    origin: Origin,
    subject: Subject = NOBODY,
    outcome: AuditOutcome = AuditOutcome.SUCCESS,
    **details: Any,
) -> None:
    """The same in a transaction of its own, which stays whatever becomes of the request."""
    async with audit_sessions() as session:
        record(session, action, origin, subject, outcome, **details)
        await session.commit()


async def record_failure(
    audit_sessions: async_sessionmaker[AsyncSession],
    action: Action,
    origin: Origin,
    subject: Subject = NOBODY,
    **details: Any,
) -> None:
    """A failure that changed nothing, in a transaction of its own."""
    await record_alone(audit_sessions, action, origin, subject, AuditOutcome.FAILURE, **details)
