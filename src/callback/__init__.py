"""The callback server, which a browser visits before and after a provider's own pages.

    python -m src.callback [--reload]

It is a separate process because Schwab accepts only its registered address, https://127.0.0.1:8182. It has no
database, no Redis and no key: it relays each request to the app, server to server, and shows a page.
It uses Starlette alone, because eight containers that start at once share two cores.

Every text is constant and chosen by the app's answer. Nothing from the request is repeated. The browser's
cookie is deleted once the app has used the flow. If the app cannot be reached, the cookie stays, so that
loading the same page again is another attempt.

A used flow ends at ``/result/...``, a page that may be loaded again and kept. Its address has what the app
needs to find the result, encrypted by the app; each time the page is loaded, the app says how the provider
stands by then.
"""

import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from src.callback.pages import FAILED, HEADERS, NOT_FOUND, Refusal, page, refused, result
from src.callback.relay import LONGEST, Relay
from src.connections.browser import cookie_name
from src.core import logs
from src.core.config import CallbackSettings, load
from src.core.web.requests import RequestMiddleware
from src.core.web.server import serve

PARAMETERS = ("code", "state", "error", "error_description")
# With these the app has not looked at the flow.
UNTOUCHED = frozenset({"rate-limited", "service-unavailable"})
# As the app makes them; nothing else gets into an address.
RESULT = re.compile(r"[A-Za-z0-9_-]{1,1000}")


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
    if isinstance(answer, Refusal) and answer.code in UNTOUCHED:
        return refused(answer)
    found = answer.result if isinstance(answer, Refusal) else answer.get("result")
    response: Response
    if found is not None and RESULT.fullmatch(found):
        # The address with the code leaves the browser's history, and the page can be loaded again.
        response = RedirectResponse(f"/result/{found}", 303, HEADERS)
    else:
        response = refused(answer if isinstance(answer, Refusal) else Refusal(502, "result-invalid"))
    if cookies:
        _set_cookie(response, name, "", 0)
    return response


async def show_result(request: Request) -> Response:
    """What became of an authorization, then and now."""
    given = request.path_params["result"]
    if not RESULT.fullmatch(given):
        return refused(Refusal(404, "result-invalid"))
    answer = await request.app.state.relay.post("result", request, {"result": given})
    return refused(answer) if isinstance(answer, Refusal) else result(answer)


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
    routes = [
        Route("/", returned),
        Route("/authorize", authorize),
        Route("/result/{result}", show_result),
        Route("/health", health),
    ]
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
