"""A provider's OAuth endpoints, as Authlib asks them, and their responses, which nobody believes unread."""

import json
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
from pydantic import ValidationError

from src.connections.token_response import TokenResponse
from src.connections.transport import BoundedTransport, UnusableResponseError
from src.core.config import Settings
from src.core.security.tls import client_context
from src.provider_types import ProviderType

if TYPE_CHECKING:
    from authlib.integrations.httpx_client import AsyncOAuth2Client

# Where TESTING is true, nobody else is spoken to.
TEST_HOSTS = frozenset({"fake-schwab", "localhost"})
# RFC 6749, 5.2 and RFC 7009, 2.2.1: what else an answer calls its error is not repeated.
KNOWN_ERRORS = frozenset(
    {
        "invalid_client",
        "invalid_grant",
        "invalid_request",
        "invalid_scope",
        "unauthorized_client",
        "unsupported_grant_type",
        "unsupported_token_type",
    }
)

logger = logging.getLogger(__name__)


class ProviderError(Exception):
    """The provider did not give what was asked for; ``reason`` is a word of ours, fit for logs and audit."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ProviderRefusedError(ProviderError):
    """An error answer of RFC 6749, 5.2. ``reason`` is its code."""


class ConsentLostError(ProviderRefusedError):
    """The code or the refresh token is good no more: only a new consent helps."""


class ProviderUnavailableError(ProviderError):
    """It cannot be reached, or says that it cannot answer."""


class ProviderTimeoutError(ProviderError):
    """It took too long."""


class InvalidResponseError(ProviderError):
    """It answered with something else."""


@dataclass(frozen=True)
class Grant:
    """What the token endpoint gave."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    id_token: str | None = field(repr=False)
    token_type: str
    scope: str | None
    expires_at: datetime


class OAuthClient:
    """One provider, as ``settings`` let us reach it."""

    def __init__(self, provider_type: ProviderType, settings: Settings) -> None:
        self._type = provider_type
        self._ca_file = settings.tls_ca_file
        self._hosts = TEST_HOSTS if settings.testing else None

    async def authorization_url(self, state: str, code_verifier: str) -> str:
        """Where the browser goes. Nothing is asked."""
        async with self._client() as client:
            url, _ = client.create_authorization_url(
                self._type.authorize_url,
                state=state,
                code_verifier=code_verifier,
                scope=self._type.scopes or None,
            )
        return str(url)

    async def exchange(self, code: str, code_verifier: str) -> Grant:
        """Tokens for an authorization code. Raises :class:`ProviderError`."""
        async with self._asking("exchange") as (client, responses):
            await client.fetch_token(
                self._type.token_url,
                grant_type="authorization_code",
                code=code,
                code_verifier=code_verifier,
            )
        return responses.grant()

    async def refresh(self, refresh_token: str) -> Grant:
        """New tokens for a refresh token, which stays good where no other is given.

        Raises :class:`ProviderError`.
        """
        async with self._asking("refresh") as (client, responses):
            await client.refresh_token(self._type.token_url, refresh_token=refresh_token)
        # Not what Authlib returns: it fills in the old refresh token where the answer has none.
        return responses.grant()

    async def revoke(self, token: str, token_type_hint: str) -> None:
        """Revoke a token (RFC 7009) at a provider that has where. Raises :class:`ProviderError`."""
        if self._type.revoke_url is None:
            raise ValueError(f"{self._type.key} has no revocation endpoint")
        async with self._asking("revoke") as (client, _):
            response = await client.revoke_token(
                self._type.revoke_url, token=token, token_type_hint=token_type_hint
            )
            if response.status_code != 200:
                raise ProviderUnavailableError(f"http_{response.status_code}")

    def _client(self) -> "AsyncOAuth2Client":
        # Here and not on top: it takes a fifth of a second, and somebody waits for every start.
        from authlib.integrations.httpx_client import AsyncOAuth2Client

        return AsyncOAuth2Client(
            self._type.client_id,
            self._type.client_secret.get_secret_value(),
            token_endpoint_auth_method=self._type.client_auth_method,
            revocation_endpoint_auth_method=self._type.client_auth_method,
            redirect_uri=self._type.redirect_uri,
            code_challenge_method="S256",
            transport=BoundedTransport(_context(self._ca_file), self._hosts),
            follow_redirects=False,
            trust_env=False,
        )

    @asynccontextmanager
    async def _asking(self, what: str) -> AsyncIterator[tuple["AsyncOAuth2Client", "_TokenResponses"]]:
        """A client whose answers are checked; whatever goes wrong becomes a :class:`ProviderError`."""
        responses = _TokenResponses(self._type)
        try:
            async with self._client() as client:
                for hook in ("access_token_response", "refresh_token_response"):
                    client.register_compliance_hook(hook, responses.check)
                yield client, responses
        except ProviderError as error:
            self._log(what, error.reason)
            raise
        except UnusableResponseError as error:
            self._log(what, error.reason)
            raise InvalidResponseError(error.reason) from None
        except httpx2.TimeoutException:
            self._log(what, "timeout")
            raise ProviderTimeoutError("timeout") from None
        except httpx2.TransportError as error:
            # Of names, addresses and certificates; requests are not in it.
            self._log(what, f"unreachable: {type(error).__name__}: {error}")
            raise ProviderUnavailableError("unreachable") from None

    def _log(self, what: str, reason: str) -> None:
        logger.warning("%s: %s failed: %s", self._type.key, what, reason)


class _TokenResponses:
    """The token endpoint's responses, checked before Authlib reads them: it accepts one without a token."""

    def __init__(self, provider_type: ProviderType) -> None:
        self._type = provider_type
        # From before anything is asked: the answer may take its time.
        self._asked_at = datetime.now(UTC)
        self._granted: TokenResponse | None = None

    def check(self, response: httpx2.Response) -> httpx2.Response:
        """Return the response as Authlib can read it. Raise :class:`ProviderError` if it grants nothing."""
        if response.status_code >= 500:
            raise ProviderUnavailableError(f"http_{response.status_code}")
        content_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        try:
            body = json.loads(response.content)
        except (ValueError, RecursionError):
            if not response.is_success and content_type != "application/json":
                # A gateway, for instance, which has pages of its own for what it does not let through.
                raise ProviderUnavailableError(f"http_{response.status_code}") from None
            reason = "not_json" if content_type == "application/json" else "content_type"
            raise InvalidResponseError(reason) from None
        if not isinstance(body, dict):
            raise InvalidResponseError("not_an_object")
        # An empty error beside a token says that there is none.
        if body.get("error") or not response.is_success:
            raise self._refusal(body.get("error"), response.status_code)
        try:
            self._granted = TokenResponse.model_validate(body)
        except ValidationError as error:
            raise InvalidResponseError(f"invalid_{error.errors()[0]['loc'][0]}") from None
        return httpx2.Response(200, json=self._granted.model_dump(exclude_none=True))

    def _refusal(self, error: object, status: int) -> ProviderError:
        if not isinstance(error, str):
            return ProviderUnavailableError(f"http_{status}")
        if error in self._type.consent_lost:
            return ConsentLostError(error)
        return ProviderRefusedError(error if error in KNOWN_ERRORS else "unknown_error")

    def grant(self) -> Grant:
        granted = self._granted
        if granted is None:
            raise RuntimeError("no response was checked")
        lifetime = (
            self._type.access_token_lifetime
            if granted.expires_in is None
            else timedelta(seconds=granted.expires_in)
        )
        return Grant(
            access_token=granted.access_token,
            refresh_token=granted.refresh_token,
            id_token=granted.id_token,
            token_type=granted.token_type,
            scope=granted.scope,
            expires_at=self._asked_at + lifetime,
        )


@lru_cache
def _context(ca_file: Path | None) -> ssl.SSLContext:
    """Read once: new certificates mean a new container."""
    return client_context(ca_file)
