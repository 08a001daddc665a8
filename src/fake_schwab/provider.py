"""The authorization server's protocol, without HTTP."""

import base64
import binascii
import hashlib
import re
import secrets
import time
import uuid
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus

import jwt

from src.fake_schwab.errors import OAuthError, UnsafeRedirectError
from src.fake_schwab.switches import Switches

CODE_SECONDS = 30  # Schwab says so; RFC 6749 allows 600
SCOPE = "api"
S256 = re.compile(r"[A-Za-z0-9_-]{43}")
VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")


@dataclass
class Grant:
    """What a person consented to; every token that is issued for it refers to it."""

    challenge: str
    chosen: dict[str, Any]
    code_expires: float
    redeemed: bool = False
    revoked: bool = False
    access: dict[str, float] = field(default_factory=dict)
    refresh: str | None = None
    refresh_expires: float = 0
    replaced: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Answered:
    """A request that was answered, for tests that count them; nothing secret."""

    endpoint: str
    grant_type: str
    status: int


class FakeSchwab:
    """The protocol and what was granted; knows nothing of HTTP.

    Its attributes may be changed by another thread between two requests.
    """

    def __init__(self, client_id: str, client_secret: str, redirect_uri: str) -> None:
        self.client_id = client_id
        self.client_secret = client_secret
        self.redirect_uri = redirect_uri
        self.switches = Switches()
        self.answered: deque[Answered] = deque(maxlen=10_000)
        self._codes: dict[str, Grant] = {}
        self._signing_key = secrets.token_bytes(32)

    def reset(self) -> None:
        """As if it had just started."""
        self.switches = Switches()
        self.answered.clear()
        self._codes.clear()

    def withdraw_consent(self) -> None:
        """What a person may do on Schwab's own pages: every refresh is refused from now on."""
        for grant in self._codes.values():
            grant.revoked = True

    def is_active(self, access_token: str) -> bool:
        """Whether a resource server would take this access token."""
        return any(
            not grant.revoked and grant.access.get(access_token, 0) > time.monotonic()
            for grant in self._codes.values()
        )

    def effective(self, grant: Grant | None) -> Switches:
        """The switches for all, and on top what was chosen for this one."""
        return self.switches.model_copy(update=grant.chosen) if grant else self.switches

    def check_redirect(self, parameters: dict[str, str], repeated: set[str]) -> None:
        """Raise :class:`UnsafeRedirectError` where client or redirect address are not the registered ones."""
        if {"client_id", "redirect_uri"} & repeated:
            raise UnsafeRedirectError("client_id or redirect_uri is there more than once")
        if parameters.get("client_id") != self.client_id:
            raise UnsafeRedirectError("client_id is not registered here")
        # By comparing strings (RFC 9700, 2.1), and required, as Schwab does.
        if parameters.get("redirect_uri") != self.redirect_uri:
            raise UnsafeRedirectError("redirect_uri is not the registered one")

    def authorize(
        self, parameters: dict[str, str], repeated: set[str], chosen: dict[str, Any]
    ) -> dict[str, str]:
        """What the redirect's query says; :meth:`check_redirect` comes first."""
        try:
            answer = {"code": self._authorize(parameters, repeated, chosen), "session": str(uuid.uuid4())}
        except OAuthError as error:
            answer = {"error": error.error, "error_description": error.description}
        return answer | ({"state": parameters["state"]} if "state" in parameters else {})

    def _authorize(self, parameters: dict[str, str], repeated: set[str], chosen: dict[str, Any]) -> str:
        if repeated:
            raise OAuthError("invalid_request", f"more than once: {', '.join(sorted(repeated))}")
        if parameters.get("response_type") != "code":
            raise OAuthError("unsupported_response_type", "response_type must be code")
        if not set(parameters.get("scope", SCOPE).split()) <= {SCOPE}:
            raise OAuthError("invalid_scope", f"the only scope is {SCOPE}")
        # RFC 7636, 4.4.1. Schwab may do without; a client of ours that does is broken.
        if parameters.get("code_challenge_method") != "S256" or not S256.fullmatch(
            parameters.get("code_challenge", "")
        ):
            raise OAuthError("invalid_request", "code_challenge with code_challenge_method=S256 is required")
        switches = self.switches.model_copy(update=chosen)
        if switches.consent == "denied":
            raise OAuthError("access_denied", "the person refused")
        if switches.consent == "server_error":
            raise OAuthError("server_error", "the fake was told to fail")
        # Schwab's, too, have a dot inside and an @ at the end, which must survive every encoding.
        code = f"C0.{secrets.token_urlsafe(32)}@"
        lifetime = CODE_SECONDS if switches.code == "good" else 0
        self._codes[code] = Grant(parameters["code_challenge"], chosen, time.monotonic() + lifetime)
        return code

    def authenticate(self, authorization: str | None) -> None:
        """client_secret_basic (RFC 6749, 2.3.1), its two parts form-encoded, and nothing else."""
        scheme, _, credentials = (authorization or "").partition(" ")
        try:
            decoded = base64.b64decode(credentials, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            decoded = ""
        client_id, _, client_secret = (unquote_plus(part) for part in decoded.partition(":"))
        known = secrets.compare_digest(client_id.encode(), self.client_id.encode())
        proven = secrets.compare_digest(client_secret.encode(), self.client_secret.encode())
        if scheme.lower() != "basic" or not (known and proven):
            raise OAuthError("invalid_client", "client authentication failed", 401)

    def find(self, form: dict[str, str]) -> Grant | None:
        """The grant that a request is about, if any."""
        if "code" in form:
            return self._codes.get(form["code"])
        wanted = form.get("refresh_token", form.get("token", ""))
        return next(
            (
                grant
                for grant in self._codes.values()
                if wanted and (wanted == grant.refresh or wanted in grant.access or wanted in grant.replaced)
            ),
            None,
        )

    def token(self, form: dict[str, str], grant: Grant | None) -> dict[str, Any]:
        """The token endpoint's answer to an authenticated client."""
        match form.get("grant_type"):
            case "authorization_code":
                return self._exchange(form, grant)
            case "refresh_token":
                return self._refresh(form, grant)
            case None:
                raise OAuthError("invalid_request", "grant_type is missing")
            case _:
                raise OAuthError("unsupported_grant_type", "authorization_code or refresh_token")

    def _exchange(self, form: dict[str, str], grant: Grant | None) -> dict[str, Any]:
        _require(form, ("code", "redirect_uri", "code_verifier"))
        if grant is None:
            raise OAuthError("invalid_grant", "the code is unknown")
        if grant.redeemed:
            grant.revoked = True  # RFC 6749, 4.1.2: and all that came of it
            raise OAuthError("invalid_grant", "the code was used before")
        # One attempt, successful or not: whoever guesses verifiers gets no second one.
        grant.redeemed = True
        if time.monotonic() >= grant.code_expires:
            raise OAuthError("invalid_grant", "the code has expired")
        if form["redirect_uri"] != self.redirect_uri:
            raise OAuthError("invalid_grant", "redirect_uri is another than before")
        verifier = form["code_verifier"]
        if not VERIFIER.fullmatch(verifier):
            raise OAuthError("invalid_request", "code_verifier is malformed")
        digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        switches = self.effective(grant)
        if switches.verifier == "mismatch" or not secrets.compare_digest(digest, grant.challenge):
            raise OAuthError("invalid_grant", "code_verifier does not fit")
        if switches.refresh_token != "never":  # noqa: S105 - a switch
            self._new_refresh_token(grant, switches)
        return self._tokens(grant, switches, with_refresh_token=grant.refresh is not None)

    def _refresh(self, form: dict[str, str], grant: Grant | None) -> dict[str, Any]:
        _require(form, ("refresh_token",))
        if grant is None or form["refresh_token"] in grant.access:
            raise OAuthError("invalid_grant", "the refresh token is unknown")
        if form["refresh_token"] != grant.refresh:
            grant.revoked = True  # RFC 9700, 4.14.2: one of two who have it stole it
            raise OAuthError("invalid_grant", "the refresh token was replaced before")
        if grant.revoked:
            raise OAuthError("invalid_grant", "the consent was withdrawn")
        if time.monotonic() >= grant.refresh_expires:
            raise OAuthError("invalid_grant", "the refresh token has expired")
        if not set(form.get("scope", SCOPE).split()) <= {SCOPE}:
            raise OAuthError("invalid_scope", "more than was granted")
        switches = self.effective(grant)
        if switches.refresh_token == "rotate":  # noqa: S105 - a switch
            grant.replaced.add(form["refresh_token"])
            self._new_refresh_token(grant, switches)
        return self._tokens(grant, switches, with_refresh_token=switches.refresh_token in {"rotate", "same"})

    def _new_refresh_token(self, grant: Grant, switches: Switches) -> None:
        grant.refresh = f"{secrets.token_urlsafe(48)}@"
        # The seven days begin with the consent and no refresh prolongs them.
        grant.refresh_expires = grant.refresh_expires or time.monotonic() + switches.refresh_token_seconds

    def _tokens(self, grant: Grant, switches: Switches, *, with_refresh_token: bool) -> dict[str, Any]:
        access_token = f"I0.{secrets.token_urlsafe(32)}@"
        grant.access[access_token] = time.monotonic() + switches.access_token_seconds
        now = int(time.time())
        claims = {"sub": "fake-person", "aud": self.client_id, "iat": now, "exp": now + 3600}
        return {
            "expires_in": switches.access_token_seconds,
            "token_type": "Bearer",
            "scope": SCOPE,
            "access_token": access_token,
            "id_token": jwt.encode(claims, self._signing_key, "HS256"),
        } | ({"refresh_token": grant.refresh} if with_refresh_token else {})

    def revoke(self, form: dict[str, str], grant: Grant | None) -> None:
        """RFC 7009: a token that nobody knows is revoked already."""
        _require(form, ("token",))
        if grant is None:
            return
        if form["token"] in grant.access:
            del grant.access[form["token"]]
        else:
            grant.revoked = True  # with the refresh token go the access tokens


def _require(form: dict[str, str], names: Iterable[str]) -> None:
    if missing := [name for name in names if name not in form]:
        raise OAuthError("invalid_request", f"missing: {', '.join(missing)}")
