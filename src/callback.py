"""The callback server: where users begin and end their way to a provider, in the browser.

    python -m src.callback [--reload]

A process of its own because Schwab accepts only its registered address, https://127.0.0.1:8182. It has no
database, no Redis and no key: it relays what arrives to the app, server to server, and shows a page.
Starlette alone serves it, because eight containers that start at once share two cores.

Every text is constant and chosen by the app's answer; of the request nothing is repeated. The browser's
cookie goes once the app has used up the flow, and stays while the app could not be asked: then the same page,
loaded again, is the same chance.
"""

import html
import logging
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from src.connections.browser import cookie_name
from src.core import logs
from src.core.config import CallbackSettings, load
from src.core.request_ids import HEADER, current_request_id
from src.core.requests import RequestMiddleware
from src.core.server import serve
from src.core.tls import client_context

if TYPE_CHECKING:
    import httpx2

# Seconds. The app gives a provider ten, and may ask it twice.
CONNECT_TIMEOUT = 3.0
ANSWER_TIMEOUT = 30.0
# Of a parameter, a cookie, a header; the app refuses what was cut.
LONGEST = 4097
PARAMETERS = ("code", "state", "error", "error_description")
PROBLEM_TYPE = "urn:dashtam:problem:"

# The address carries an authorization code: no cache may keep it, no other site may learn it.
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Dashtam: {title}</title>
</head>
<body>
<h1>{title}</h1>
<p>{text}</p>
</body>
</html>
"""
START_AGAIN = "Nothing was connected. Go back to Dashtam and start again."
TRY_LATER = "Nothing was connected. Go back to Dashtam and try again later."
UNFINISHED = ("This was not under way", f"It took too long, or was finished before. {START_AGAIN}")
PROVIDER_FAILED = ("The provider did not do its part", TRY_LATER)
# By the code of the app's problem.
PAGES: dict[str, tuple[str, str]] = {
    "link-invalid": (
        "This link is not good any more",
        f"It was opened before, or is older than ten minutes. {START_AGAIN}",
    ),
    "parameter-repeated": UNFINISHED,
    "state-missing": UNFINISHED,
    "state-invalid": UNFINISHED,
    "code-missing": UNFINISHED,
    "code-invalid": UNFINISHED,
    "other-browser": (
        "Another browser began this",
        "Only the browser in which the link was opened can finish, and it must accept this page's cookie. "
        f"{START_AGAIN}",
    ),
    "access-denied": ("You did not agree", "Nothing was connected. You may close this window."),
    "provider-gone": (
        "Nothing to connect",
        "What was to be connected was removed or switched off meanwhile. You may close this window.",
    ),
    "code-refused": ("The provider took too long, or changed its mind", START_AGAIN),
    "provider-error": PROVIDER_FAILED,
    "provider-unavailable": PROVIDER_FAILED,
    "provider-timeout": PROVIDER_FAILED,
    "provider-answer-invalid": PROVIDER_FAILED,
    "provider-refused": PROVIDER_FAILED,
    "rate-limited": ("Too many attempts", "Wait a minute, then load this page again."),
    "service-unavailable": (
        "Dashtam cannot be reached",
        "Load this page again in a moment. If that does not help, go back to Dashtam and start again.",
    ),
}
FAILED = ("Something went wrong", START_AGAIN)
NOT_FOUND = ("Nothing is here", "You may close this window.")
# With these the app has not looked at the flow.
UNTOUCHED = frozenset({"rate-limited", "service-unavailable"})

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Refusal:
    """The app's problem, or that there is no app."""

    status: int
    code: str
    retry_after: str | None = None


UNREACHABLE = Refusal(503, "service-unavailable", "5")


class Relay:
    """The app's endpoints for this server, over verified TLS."""

    def __init__(self, settings: CallbackSettings) -> None:
        self._settings = settings
        self._client: httpx2.AsyncClient | None = None

    async def post(self, endpoint: str, browser: Request, body: dict[str, Any]) -> dict[str, Any] | Refusal:
        """The app's answer to what a browser brought. Nothing is sent twice."""
        import httpx2

        body |= {
            "ip_address": browser.client.host if browser.client else None,
            "user_agent": browser.headers.get("User-Agent", "")[:LONGEST],
        }
        headers = {"Authorization": f"Bearer {self._settings.relay_token.get_secret_value()}"}
        if request_id := current_request_id():
            headers[HEADER] = request_id
        try:
            response = await self._connected().post(
                f"/api/v1/internal/oauth/{endpoint}", json=body, headers=headers
            )
            answer = response.json()
        except httpx2.TransportError as error:
            logger.error("The app does not answer: %s: %s", type(error).__name__, error)
            return UNREACHABLE
        except ValueError:
            logger.error("The app answers %d with what is no JSON", response.status_code)
            return UNREACHABLE
        if response.status_code == 200 and isinstance(answer, dict):
            return answer
        return self._refusal(response, answer)

    def _refusal(self, response: "httpx2.Response", problem: Any) -> Refusal:
        kind = str(problem.get("type", "")) if isinstance(problem, dict) else ""
        code = kind.removeprefix(PROBLEM_TYPE)
        if code not in PAGES:
            logger.error("The app answers %d: %s", response.status_code, code)
            # Below 500 it did not even look: another RELAY_TOKEN, say, or another version.
            return UNREACHABLE if response.status_code < 500 else Refusal(502, code)
        retry_after = response.headers.get("Retry-After", "")
        return Refusal(response.status_code, code, retry_after if retry_after.isdecimal() else None)

    def _connected(self) -> "httpx2.AsyncClient":
        import httpx2  # not on top: it costs a start more than it costs the first browser

        if self._client is None:
            self._client = httpx2.AsyncClient(
                base_url=self._settings.app_url,
                verify=client_context(self._settings.tls_ca_file),
                timeout=httpx2.Timeout(ANSWER_TIMEOUT, connect=CONNECT_TIMEOUT),
                # An app that was restarted has forgotten old connections, and nothing is sent twice.
                limits=httpx2.Limits(max_keepalive_connections=0),
                trust_env=False,
            )
        return self._client

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()


def page(status: int, title: str, text: str, headers: dict[str, str] | None = None) -> HTMLResponse:
    """``title`` and ``text`` are HTML."""
    return HTMLResponse(PAGE.format(title=title, text=text), status, HEADERS | (headers or {}))


def refused(refusal: Refusal) -> HTMLResponse:
    headers = {"Retry-After": refusal.retry_after} if refusal.retry_after else {}
    return page(refusal.status, *PAGES.get(refusal.code, FAILED), headers)


async def health(request: Request) -> JSONResponse:
    return JSONResponse({"status": "ok"})


async def authorize(request: Request) -> Response:
    """The link that a user opens: this browser becomes the flow's own, and goes on to the provider."""
    _require_get(request)
    given, _ = _parameters(request, ("ticket", "state"))
    body = {"ticket": given.get("ticket", ""), "state": given.get("state", "")}
    answer = await request.app.state.relay.post("begin", request, body)
    if isinstance(answer, Refusal):
        return refused(answer)
    response = RedirectResponse(answer["authorization_url"], 302, HEADERS)
    _set_cookie(response, answer["cookie_name"], answer["cookie_value"], answer["max_age"])
    return response


async def returned(request: Request) -> Response:
    """The provider's redirect."""
    _require_get(request)
    given, repeated = _parameters(request, PARAMETERS)
    name = cookie_name(given["state"]) if "state" in given else ""
    cookies = {name: request.cookies[name][:LONGEST]} if name in request.cookies else {}
    answer = await request.app.state.relay.post(
        "complete", request, given | {"duplicated": repeated, "cookies": cookies}
    )
    if isinstance(answer, Refusal):
        response = refused(answer)
        if answer.code in UNTOUCHED:
            return response
    else:
        provider = html.escape(str(answer["provider_name"]))
        response = page(200, f"Connected to {provider}", "You may close this window and go back to Dashtam.")
    if cookies:
        _set_cookie(response, name, "", 0)
    return response


def _parameters(request: Request, names: tuple[str, ...]) -> tuple[dict[str, str], list[str]]:
    """Those that came once, and the names of those that came more often, which nobody may choose from.

    Empty ones have not come at all (RFC 6749, 3.1).
    """
    given = [(name, value) for name, value in request.query_params.multi_items() if name in names and value]
    counted = Counter(name for name, _ in given)
    once = {name: value[:LONGEST] for name, value in given if counted[name] == 1}
    return once, sorted(name for name, count in counted.items() if count > 1)


def _set_cookie(response: Response, name: str, value: str, max_age: int) -> None:
    # Lax: it must come along when the provider's page sends the browser back.
    response.set_cookie(name, value, max_age, path="/", secure=True, httponly=True, samesite="lax")


def _require_get(request: Request) -> None:
    # Starlette takes HEAD for GET, and a link is used up by whoever follows it.
    if request.method != "GET":
        raise HTTPException(405, headers={"Allow": "GET"})


async def _http_exception(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    return page(status, *(NOT_FOUND if status in {404, 405} else FAILED), headers)


def create_app(settings: CallbackSettings | None = None) -> Starlette:
    """The server for ``settings``, by default those of the process environment."""
    settings = settings or load(CallbackSettings)
    logs.configure(settings.log_level, settings.secret_values())
    routes = [Route("/", returned), Route("/authorize", authorize), Route("/health", health)]
    requests = Middleware(RequestMiddleware, routes=lambda: routes, internal_error=lambda: page(500, *FAILED))
    app = Starlette(
        routes=routes,
        middleware=[requests],
        exception_handlers={HTTPException: _http_exception},
        lifespan=_lifespan,
    )
    # It would send the browser on with the code, without our headers.
    app.router.redirect_slashes = False
    app.state.relay = Relay(settings)
    return app


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    yield
    await app.state.relay.aclose()


def main() -> int:
    return serve("src.callback", CallbackSettings, lambda settings: settings.callback_port)


if __name__ == "__main__":
    sys.exit(main())
