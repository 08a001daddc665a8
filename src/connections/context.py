"""What the operations on connections work with, and how they fail."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from src.connections import audit
from src.connections.audit import NOBODY, Action, Origin, Subject
from src.connections.oauth_client import (
    InvalidAnswerError,
    OAuthClient,
    ProviderError,
    ProviderRefusedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from src.core.config import Settings
from src.core.security.encryption import Keyring
from src.core.web.problems import Problem
from src.models import Provider
from src.provider_types import ProviderType

PROVIDER_PROBLEMS: dict[type[ProviderError], tuple[int, str, str]] = {
    ProviderTimeoutError: (504, "provider-timeout", "The provider takes too long. Try again later."),
    ProviderUnavailableError: (
        502,
        "provider-unavailable",
        "The provider cannot be reached. Try again later.",
    ),
    InvalidAnswerError: (
        502,
        "provider-answer-invalid",
        "The provider's answer makes no sense. Try again later.",
    ),
    ProviderRefusedError: (502, "provider-refused", "The provider does not accept this service's request."),
}


@dataclass(frozen=True)
class Context:
    """One request's means."""

    session: AsyncSession
    # A factory for what is recorded whatever becomes of the request.
    audit_sessions: async_sessionmaker[AsyncSession]
    redis: Redis
    settings: Settings
    keyring: Keyring
    provider_types: Mapping[str, ProviderType]
    origin: Origin

    def client(self, provider_type: ProviderType) -> OAuthClient:
        return OAuthClient(provider_type, self.settings)

    def usable_type(self, provider: Provider) -> ProviderType:
        """The type of a provider that can be connected now, or :class:`Problem` 409."""
        if not provider.is_active:
            raise Problem(409, "provider-inactive", "The provider is switched off; switch it on first.")
        provider_type = self.provider_types.get(provider.provider_key)
        if provider_type is None:
            raise Problem(409, "provider-type-unknown", "Providers of this type are supported no more.")
        if not provider_type.is_configured:
            raise Problem(
                409,
                "provider-not-configured",
                f"This service has no credentials for {provider_type.name}; whoever runs it must set them.",
            )
        return provider_type

    def record(self, action: Action, subject: Subject, failed: bool = False, **details: Any) -> None:
        """An entry of the audit log, in the transaction of the change."""
        audit.record(self.session, action, self.origin, subject, audit.outcome(failed), **details)

    async def fail(
        self, action: Action, problem: Problem, subject: Subject = NOBODY, **details: Any
    ) -> NoReturn:
        """Record a failure that changed nothing, and raise ``problem``."""
        # Nothing of the request's own is lost, and its connection is free for others.
        await self.session.commit()
        await audit.record_failure(
            self.audit_sessions, action, self.origin, subject, problem=problem.code, **details
        )
        raise problem


def provider_problem(error: ProviderError) -> Problem:
    """The answer to our client where a provider did not do its part."""
    return next(
        Problem(*arguments) for kind, arguments in PROVIDER_PROBLEMS.items() if isinstance(error, kind)
    )
