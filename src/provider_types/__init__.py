"""The kinds of providers that a user can connect, one file each.

A second provider is one more file in this folder with ``define(settings) -> ProviderType``: its credentials
come from :class:`Settings`, or from a class of its own that reads the environment the same way.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Literal

from pydantic import SecretStr

from src.core.config import Settings


@dataclass(frozen=True, kw_only=True)
class ProviderType:
    """An OAuth 2.0 authorization server, and how it departs from the RFCs."""

    key: str
    name: str
    client_id: str = field(repr=False)
    client_secret: SecretStr
    # Providers that share one could be mixed up for one another (RFC 9700, 4.4): each has its own.
    redirect_uri: str
    authorize_url: str
    token_url: str
    # RFC 7009. Without one, tokens are only forgotten and live on at the provider until they expire.
    revoke_url: str | None = None
    # None asked for means the provider's own default (RFC 6749, 3.3).
    scopes: tuple[str, ...] = ()
    client_auth_method: Literal["client_secret_basic", "client_secret_post"] = "client_secret_basic"
    # Where an answer has no expires_in.
    access_token_lifetime: timedelta
    # From the consent on, whatever is refreshed meanwhile; None where the provider names no end.
    refresh_token_lifetime: timedelta | None = None
    # Errors of the token endpoint which mean that only a new consent helps.
    consent_lost: frozenset[str] = frozenset({"invalid_grant"})
    # Whether it is a stand-in for development, behind which is no account of anybody's.
    is_fake: bool = False

    @property
    def is_configured(self) -> bool:
        """Whether there are credentials; without them nothing can be connected."""
        return bool(self.client_id and self.client_secret.get_secret_value())


def define_all(settings: Settings) -> Mapping[str, ProviderType]:
    """Every provider type by its key, in the order of their names.

    Raises ``ValueError`` where two files claim one key.
    """
    found: dict[str, ProviderType] = {}
    for module in pkgutil.iter_modules(__path__):
        provider_type = importlib.import_module(f"{__name__}.{module.name}").define(settings)
        if provider_type.key in found:
            raise ValueError(f"{module.name}.py: provider type {provider_type.key!r} is defined already")
        found[provider_type.key] = provider_type
    return MappingProxyType(dict(sorted(found.items(), key=lambda item: item[1].name)))
