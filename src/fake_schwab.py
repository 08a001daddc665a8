"""A Schwab that costs nothing and knows nobody: Schwab itself has no sandbox.

    python -m src.fake_schwab [--reload]

An OAuth 2.0 authorization server for one registered client: authorization code (RFC 6749, 4.1) with PKCE
S256 (RFC 7636), refresh (RFC 6749, 6) and revocation (RFC 7009), over TLS. It is written from the RFCs and
not on Authlib's server side, because the app is a client by Authlib: a rule that the library reads wrongly
would be on both sides, and agree. What it grants is kept in memory and gone with the process.

For development and tests alone: it does not start where ENVIRONMENT is production.

A browser, which asks for ``text/html``, gets a page with buttons; any other client is sent back at once. What
goes wrong is chosen by ``Switches``: for one connection on that page, for all by ``PATCH /control/switches``.
"""

import asyncio
import base64
import binascii
import hashlib
import html
import logging
import re
import secrets
import sys
import time
import uuid
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit

import jwt
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from src.core import logs
from src.core.config import ServerSettings, load
from src.core.server import serve

CODE_SECONDS = 30  # Schwab says so; RFC 6749 allows 600
SCOPE = "api"
S256 = re.compile(r"[A-Za-z0-9_-]{43}")
VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")
FORM = "application/x-www-form-urlencoded"
FORM_BYTES = 64 * 1024
OVERSIZE = 1024 * 1024
# RFC 6749, 5.1; what it says of caches holds for errors and for pages with parameters, too.
UNCACHED = {"Cache-Control": "no-store", "Pragma": "no-cache"}

logger = logging.getLogger(__name__)


class FakeSchwabSettings(ServerSettings):
    """The one client that is registered here, and the port inside."""

    fake_schwab_port: int = Field(default=9443, ge=1, le=65535)
    schwab_api_key: str = Field(min_length=1)
    schwab_api_secret: SecretStr = Field(min_length=1)
    schwab_redirect_uri: str

    @model_validator(mode="after")
    def _never_in_production(self) -> "FakeSchwabSettings":
        if self.environment == "production":
            raise ValueError("ENVIRONMENT: is production, where nobody may be connected to a fake provider")
        return self


class Switches(BaseModel):
    """What the fake does; as it is made, all goes well and each refresh gives a new refresh token."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    # Whether the person agrees, where nobody is asked.
    consent: Literal["granted", "denied", "server_error"] = "granted"
    # `expired`: a code has expired before it arrives.
    code: Literal["good", "expired"] = "good"
    # `mismatch`: no verifier fits.
    verifier: Literal["checked", "mismatch"] = "checked"
    # What a refresh gives: another one, the same, or none, which means that the old one stays good (RFC 6749,
    # 6). `never`: the first answer has none either.
    refresh_token: Literal["rotate", "same", "omit", "never"] = "rotate"  # noqa: S105 - a switch
    # How the token and revocation endpoints answer. `slow` and what follows do their work first.
    answer: Literal["normal", "server_error", "slow", "html", "not_json", "oversized"] = "normal"
    slow_seconds: float = Field(default=30, ge=0)
    access_token_seconds: int = Field(default=1800, ge=1)
    refresh_token_seconds: int = Field(default=7 * 24 * 3600, ge=0)


# What the page offers, beside the two that everybody knows.
CHOICES: dict[str, tuple[str, dict[str, Any]]] = {
    "allow": ("Allow", {"consent": "granted"}),
    "refuse": ("Refuse", {"consent": "denied"}),
    "fail": ("Fail at once: server_error", {"consent": "server_error"}),
    "expired": ("Allow, with a code that has expired", {"code": "expired"}),
    "mismatch": ("Allow, but reject the PKCE verifier", {"verifier": "mismatch"}),
    "server_error": ("Allow, then answer 500", {"answer": "server_error"}),
    "slow": ("Allow, then answer after 30 s", {"answer": "slow"}),
    "html": ("Allow, then answer with a web page", {"answer": "html"}),
    "oversized": ("Allow, then answer with a megabyte", {"answer": "oversized"}),
    "short": ("Allow, with an access token for 10 s", {"access_token_seconds": 10}),
    "same": ("Allow; a refresh keeps the refresh token", {"refresh_token": "same"}),
    "omit": ("Allow; a refresh gives no refresh token", {"refresh_token": "omit"}),
    "never": ("Allow, without any refresh token", {"refresh_token": "never"}),
}


class OAuthError(Exception):
    """An error answer of RFC 6749, 4.1.2.1 or 5.2."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.error = error
        self.description = description
        self.status = status


class UnsafeRedirectError(Exception):
    """Nobody may be sent to where the request says (RFC 6749, 4.1.2.1)."""


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


async def hold_back(seconds: float) -> None:
    """What a slow provider does before it answers."""
    await asyncio.sleep(seconds)


def _require(form: dict[str, str], names: Iterable[str]) -> None:
    if missing := [name for name in names if name not in form]:
        raise OAuthError("invalid_request", f"missing: {', '.join(missing)}")


def _parse(encoded: str) -> tuple[dict[str, str], set[str]]:
    """Parameters, and the names of those that come more than once; empty ones are none (RFC 6749, 3.1)."""
    pairs = [(name, value) for name, value in parse_qsl(encoded, keep_blank_values=True) if value]
    counted = Counter(name for name, _ in pairs)
    return dict(pairs), {name for name, count in counted.items() if count > 1}


async def _form(request: Request) -> tuple[dict[str, str], set[str]]:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise OAuthError("invalid_request", f"the body must be {FORM}")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > FORM_BYTES:
            raise OAuthError("invalid_request", "the body is too large", 413)
    try:
        return _parse(body.decode())
    except ValueError:
        raise OAuthError("invalid_request", "the body is no form") from None


PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Fake Schwab: {title}</title>
<style>body {{font: 1rem/1.5 system-ui; max-width: 32rem; margin: 3rem auto; padding: 0 1rem}}
button {{font: inherit; padding: .4rem 1rem; margin: .2rem 0}} details button {{display: block}}</style>
</head>
<body>
<h1>{title}</h1>
{body}
<p>This is not Schwab. It is Dashtam's fake of it, for development and tests.</p>
</body>
</html>
"""


def _page(title: str, body: str, status: int = 200, form_action: str = "'none'") -> HTMLResponse:
    policy = f"default-src 'none'; style-src 'unsafe-inline'; form-action {form_action}"
    return HTMLResponse(
        PAGE.format(title=title, body=body),
        status,
        UNCACHED | {"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer"},
    )


def _consent_page(parameters: dict[str, str], origin: str) -> HTMLResponse:
    hidden = "\n".join(
        f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
        for name, value in parameters.items()
        if name != "choice"
    )
    buttons = [
        f'<button name="choice" value="{choice}">{html.escape(label)}</button>'
        for choice, (label, _) in CHOICES.items()
    ]
    body = "\n".join(
        (
            "<p>Dashtam wants to read your accounts. You own none here, so nothing can happen to them.</p>",
            f'<form method="post" action="/v1/oauth/authorize">\n{hidden}',
            *buttons[:2],
            "<details><summary>What can go wrong</summary>",
            *buttons[2:],
            "</details>\n</form>",
        )
    )
    # Browsers apply form-action to where the answer redirects, too.
    return _page("Connect to Dashtam?", body, form_action=f"'self' {origin}")


class Endpoints:
    """HTTP around :class:`FakeSchwab`."""

    def __init__(self, provider: FakeSchwab) -> None:
        self.provider = provider

    async def health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def authorize(self, request: Request) -> Response:
        """GET as the app sends people here, POST from the page's buttons."""
        try:
            parameters, repeated = (
                await _form(request) if request.method == "POST" else _parse(request.url.query)
            )
            self.provider.check_redirect(parameters, repeated)
        except (UnsafeRedirectError, OAuthError) as error:
            self._count("authorize", "", 400)
            return _page("This cannot go on", f"<p>{html.escape(str(error))}</p>", 400)
        by_page = request.method == "POST"
        parts = urlsplit(self.provider.redirect_uri)
        if not by_page and not repeated and "text/html" in request.headers.get("accept", ""):
            return _consent_page(parameters, f"{parts.scheme}://{parts.netloc}")
        _, chosen = CHOICES.get(parameters.get("choice", ""), CHOICES["refuse"]) if by_page else ("", {})
        query = self.provider.authorize(parameters, repeated, chosen)
        self._count("authorize", query.get("error", "code"), 303 if by_page else 302)
        separator = "&" if parts.query else "?"
        return RedirectResponse(
            f"{self.provider.redirect_uri}{separator}{urlencode(query)}",
            # 303 turns the page's POST into a GET; the callback server takes no other.
            303 if by_page else 302,
            UNCACHED | {"Referrer-Policy": "no-referrer"},
        )

    async def token(self, request: Request) -> Response:
        return await self._answer("token", request)

    async def revoke(self, request: Request) -> Response:
        return await self._answer("revoke", request)

    async def _answer(self, endpoint: str, request: Request) -> Response:
        form: dict[str, str] = {}
        grant = None
        headers = dict(UNCACHED)
        content: dict[str, Any] = {}
        try:
            form, repeated = await _form(request)
            if repeated:
                raise OAuthError("invalid_request", f"more than once: {', '.join(sorted(repeated))}")
            grant = self.provider.find(form)
            if self.provider.effective(grant).answer == "server_error":
                self._count(endpoint, form.get("grant_type", ""), 500)
                return Response("The fake was told to fail.", 500, media_type="text/plain")
            self.provider.authenticate(request.headers.get("authorization"))
            if endpoint == "token":
                content = self.provider.token(form, grant)
            else:
                self.provider.revoke(form, grant)
            status = 200
        except OAuthError as error:
            content = {"error": error.error, "error_description": error.description}
            status = error.status
            if status == 401:
                headers["WWW-Authenticate"] = 'Basic realm="fake-schwab"'
        self._count(endpoint, form.get("grant_type", ""), status)
        switches = self.provider.effective(grant)
        match switches.answer:
            case "slow":
                await hold_back(switches.slow_seconds)
            case "html":
                return _page("Schwab is being maintained", "<p>Come back later.</p>", 200)
            case "not_json":
                return Response("access_token=", status, headers, "application/json")
            case "oversized":
                content["padding"] = "x" * OVERSIZE
        return JSONResponse(content, status, headers)

    def _count(self, endpoint: str, grant_type: str, status: int) -> None:
        # Only what is known: the rest of a request may hold anything.
        known = grant_type if grant_type in {"authorization_code", "refresh_token"} else ""
        self.provider.answered.append(Answered(endpoint, known, status))
        logger.info("%s%s answered %d", endpoint, f" ({known})" if known else "", status)

    async def switches(self, request: Request) -> Response:
        """GET shows them, PATCH changes those that its JSON names, DELETE puts all back."""
        if request.method == "DELETE":
            self.provider.switches = Switches()
        elif request.method == "PATCH":
            try:
                # A page of another site can send text, but no JSON without being asked about it first.
                if request.headers.get("content-type") != "application/json":
                    raise ValueError("the body must be application/json")
                changes = await request.json()
                if not isinstance(changes, dict):
                    raise ValueError("the body must be an object")
                self.provider.switches = Switches.model_validate(
                    self.provider.switches.model_dump() | changes
                )
            except ValidationError as error:
                problems = error.errors(include_url=False, include_context=False)
                return JSONResponse({"errors": problems}, 422)
            except ValueError as error:
                return JSONResponse({"errors": [{"msg": str(error)}]}, 422)
        return JSONResponse(self.provider.switches.model_dump())

    async def grants(self, request: Request) -> Response:
        """DELETE: people withdraw their consent, so that the next refresh is refused."""
        self.provider.withdraw_consent()
        return Response(status_code=204)


def create_app(provider: FakeSchwab | None = None) -> Starlette:
    """The server for ``provider``, by default for the client that the process environment names."""
    if provider is None:
        settings = load(FakeSchwabSettings)
        client_secret = settings.schwab_api_secret.get_secret_value()
        logs.configure(settings.log_level, hide=[client_secret])
        provider = FakeSchwab(settings.schwab_api_key, client_secret, settings.schwab_redirect_uri)
    endpoints = Endpoints(provider)
    return Starlette(
        routes=[
            Route("/health", endpoints.health),
            Route("/v1/oauth/authorize", endpoints.authorize, methods=["GET", "POST"]),
            Route("/v1/oauth/token", endpoints.token, methods=["POST"]),
            Route("/v1/oauth/revoke", endpoints.revoke, methods=["POST"]),
            Route("/control/switches", endpoints.switches, methods=["GET", "PATCH", "DELETE"]),
            Route("/control/grants", endpoints.grants, methods=["DELETE"]),
        ]
    )


def main() -> int:
    return serve("src.fake_schwab", FakeSchwabSettings, lambda settings: settings.fake_schwab_port)


if __name__ == "__main__":
    sys.exit(main())
