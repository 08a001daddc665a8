"""HTTP around the fake Schwab's protocol."""

import asyncio
import html
import logging
from collections import Counter
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from src.fake_schwab.errors import OAuthError, UnsafeRedirectError
from src.fake_schwab.pages import UNCACHED, consent_page, page
from src.fake_schwab.provider import Answered, FakeSchwab
from src.fake_schwab.switches import CHOICES, Switches

FORM = "application/x-www-form-urlencoded"
FORM_BYTES = 64 * 1024
OVERSIZE = 1024 * 1024

logger = logging.getLogger(__name__)


async def hold_back(seconds: float) -> None:
    """What a slow provider does before it answers."""
    await asyncio.sleep(seconds)


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
            return page("This cannot go on", f"<p>{html.escape(str(error))}</p>", 400)
        by_page = request.method == "POST"
        parts = urlsplit(self.provider.redirect_uri)
        if not by_page and not repeated and "text/html" in request.headers.get("accept", ""):
            return consent_page(parameters, f"{parts.scheme}://{parts.netloc}")
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
                return page("Schwab is being maintained", "<p>Come back later.</p>", 200)
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
