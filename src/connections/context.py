"""What the operations on connections work with, and how they fail."""

from collections.abc import Mapping
from dataclasses import dataclass

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession

from src.connections.audit import AuditTrail
from src.connections.flows import FlowStore
from src.connections.oauth_client import (
    InvalidResponseError,
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
    InvalidResponseError: (
        502,
        "provider-answer-invalid",
        "The provider's answer makes no sense. Try again later.",
    ),
    ProviderRefusedError: (502, "provider-refused", "The provider does not accept this service's request."),
}


@dataclass(frozen=True)
class OAuth:
    """What it takes to have flows, and to speak with providers."""

    settings: Settings
    redis: Redis
    keyring: Keyring
    provider_types: Mapping[str, ProviderType]

    def flows(self) -> FlowStore:
        return FlowStore(self.redis, self.settings.redis_key_prefix, self.keyring)

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


@dataclass(frozen=True)
class Context:
    """What one request's operation on a connection works with."""

    session: AsyncSession
    audit: AuditTrail
    oauth: OAuth


def provider_problem(error: ProviderError) -> Problem:
    """The answer to our client where a provider did not do its part."""
    return next(
        Problem(*arguments) for kind, arguments in PROVIDER_PROBLEMS.items() if isinstance(error, kind)
    )
