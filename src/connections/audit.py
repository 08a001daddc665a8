"""What happened to connections, for good: the running app may add to the log and read it, nothing else."""

import ipaddress
import uuid
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NoReturn

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from src.core.commits import commit_despite_refusal
from src.core.web.problems import Problem
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
class ClientInfo:
    """Where a request came from, as it may be stored."""

    ip_address: str | None = None
    user_agent: str | None = None

    @classmethod
    def from_request(cls, host: str | None, user_agent: str | None) -> "ClientInfo":
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
class AuditTarget:
    """Whom and what an entry is about, as far as it is known."""

    user_id: uuid.UUID | None = None
    provider_id: uuid.UUID | None = None
    provider_key: str | None = None
    connection_id: uuid.UUID | None = None

    @classmethod
    def from_provider(cls, provider: Provider, connection_id: uuid.UUID | None = None) -> "AuditTarget":
        return cls(provider.user_id, provider.id, provider.provider_key, connection_id)


NO_TARGET = AuditTarget()


@dataclass(frozen=True)
class AuditTrail:
    """Writes the entries of one request.

    ``details`` are words of our own: never a token, a code, a state, nor what a provider or a browser wrote.
    """

    # The request's own.
    session: AsyncSession
    # For entries that stay whatever becomes of the request.
    sessions: async_sessionmaker[AsyncSession]
    client_info: ClientInfo

    def record(
        self,
        action: Action,
        target: AuditTarget = NO_TARGET,
        outcome: AuditOutcome = AuditOutcome.SUCCESS,
        **details: Any,
    ) -> None:
        """Add an entry to the transaction of the change that it tells of."""
        self.session.add(self._entry(action, target, outcome, details))

    async def record_alone(
        self,
        action: Action,
        target: AuditTarget = NO_TARGET,
        outcome: AuditOutcome = AuditOutcome.SUCCESS,
        **details: Any,
    ) -> None:
        """Add an entry in a transaction of its own, which stays whatever becomes of the request."""
        async with self.sessions.begin() as session:
            session.add(self._entry(action, target, outcome, details))

    async def fail(
        self, action: Action, problem: Problem, target: AuditTarget = NO_TARGET, **details: Any
    ) -> NoReturn:
        """Record a failure that changed nothing, and raise ``problem``."""
        # Also frees the request's connection: to need two at once could use up the pool.
        await commit_despite_refusal(self.session)
        await self.record_alone(action, target, AuditOutcome.FAILURE, problem=problem.code, **details)
        raise problem

    def _entry(
        self, action: Action, target: AuditTarget, outcome: AuditOutcome, details: dict[str, Any]
    ) -> ProviderAuditLog:
        request_id = current_request_id()
        return ProviderAuditLog(
            user_id=target.user_id,
            provider_id=target.provider_id,
            provider_key=target.provider_key,
            connection_id=target.connection_id,
            action=action,
            outcome=outcome,
            details=details | ({"request_id": request_id} if request_id else {}),
            ip_address=self.client_info.ip_address,
            user_agent=self.client_info.user_agent,
        )
