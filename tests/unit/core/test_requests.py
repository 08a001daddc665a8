import logging
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import iter_route_contexts
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from src.core.web.request_ids import current_request_id
from src.core.web.requests import RequestMiddleware


def failed() -> Response:
    return PlainTextResponse("failed", 500)


async def seen(request: Request) -> PlainTextResponse:
    return PlainTextResponse(current_request_id() or "")


async def raising(request: Request) -> Response:
    raise ValueError("nobody handles this")


async def shared(request: Request) -> Response:
    return PlainTextResponse("either")


async def health(request: Request) -> Response:
    return PlainTextResponse("well")


async def ready(request: Request) -> Response:
    return PlainTextResponse("not ready", 503)


async def half(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"half", "more_body": True})
    raise ValueError("too late")


ROUTES = [
    Route("/seen/{secret}", seen),
    Route("/raising", raising),
    Route("/health", health),
    Route("/ready", ready),
    Route("/one", shared),
    Route("/two", shared),
]


def serve(app: Starlette) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://app")


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    middleware = Middleware(RequestMiddleware, routes=lambda: ROUTES, internal_error=failed)
    async with serve(Starlette(routes=ROUTES, middleware=[middleware])) as client:
        yield client


@pytest.fixture
def requests(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "src.core.web.requests")
    return caplog


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str, int]]:
    return [
        (vars(record)["method"], vars(record)["route"], vars(record)["status"])
        for record in caplog.records
        if record.message == "request"
    ]


async def test_a_request_has_an_id(client: httpx.AsyncClient) -> None:
    one, two = await client.get("/seen/x"), await client.get("/seen/x")
    assert one.text == one.headers["x-request-id"]
    assert len(one.text) == 32
    assert one.text != two.text
    assert current_request_id() is None


@pytest.mark.parametrize(
    "given", ["4bf92f3577b34da6a3ce929d0e0e4736", "6b1f5b0e-7d5c-4a53-9a5e-0d9a4c1b2f3e"]
)
async def test_a_given_id_is_kept(client: httpx.AsyncClient, given: str) -> None:
    response = await client.get("/seen/x", headers={"X-Request-ID": given})
    assert response.text == response.headers["x-request-id"] == given


@pytest.mark.parametrize(
    "given", ["", "short", "x" * 65, "with space", "a=b level=error", 'quote"quote', "ä" * 8, "new\x0bline1"]
)
async def test_an_id_that_could_disfigure_the_log_is_not(client: httpx.AsyncClient, given: str) -> None:
    response = await client.get("/seen/x", headers={"X-Request-ID": given.encode("latin-1")})
    assert response.text == response.headers["x-request-id"]
    assert len(response.text) == 32


async def test_a_line_names_the_route_and_never_the_path(
    client: httpx.AsyncClient, requests: pytest.LogCaptureFixture
) -> None:
    await client.get("/seen/T0ken?code=C0de")
    await client.post("/seen/T0ken")
    await client.get("/T0ken")
    assert lines(requests) == [
        ("GET", "/seen/{secret}", 200),
        ("POST", "/seen/{secret}", 405),
        ("GET", "(none)", 404),
    ]
    shown = "".join(str(vars(record)) for record in requests.records)
    assert "T0ken" not in shown
    assert "C0de" not in shown


async def test_a_route_of_an_included_router_has_its_whole_path(requests: pytest.LogCaptureFixture) -> None:
    app, router = FastAPI(), APIRouter(prefix="/auth")

    @router.get("/{token}")
    async def endpoint(token: str) -> None:
        """Nothing."""

    app.include_router(router, prefix="/api/v1")
    app.add_middleware(
        RequestMiddleware, routes=lambda: iter_route_contexts(app.routes), internal_error=failed
    )
    async with serve(app) as client:
        await client.get("/api/v1/auth/T0ken")
    assert lines(requests) == [("GET", "/api/v1/auth/{token}", 200)]


async def test_probes_that_find_all_well_are_no_news(
    client: httpx.AsyncClient, requests: pytest.LogCaptureFixture
) -> None:
    await client.get("/health")
    await client.get("/ready")
    assert lines(requests) == [("GET", "/ready", 503)]


async def test_an_endpoint_with_two_paths_has_both(
    client: httpx.AsyncClient, requests: pytest.LogCaptureFixture
) -> None:
    await client.get("/one")
    assert lines(requests) == [("GET", "/one|/two", 200)]


async def test_what_nobody_handles_is_logged_once_and_answered(
    client: httpx.AsyncClient, requests: pytest.LogCaptureFixture
) -> None:
    response = await client.get("/raising", headers={"X-Request-ID": "0123456789"})
    assert response.status_code == 500
    assert response.text == "failed"
    assert response.headers["x-request-id"] == "0123456789"
    assert [record.message for record in requests.records] == ["Not handled", "request"]
    assert requests.records[0].exc_info
    assert lines(requests) == [("GET", "/raising", 500)]


async def test_half_an_answer_is_broken_off(requests: pytest.LogCaptureFixture) -> None:
    app = RequestMiddleware(half, routes=list, internal_error=failed)
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://app")
    with pytest.raises(ValueError, match="too late"):
        await client.get("/")
    await client.aclose()
    assert [record.message for record in requests.records] == ["Not handled", "request"]


async def test_other_things_than_requests_pass() -> None:
    passed: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        passed.append(scope)

    async def never() -> None:
        raise AssertionError

    await RequestMiddleware(app, routes=list, internal_error=failed)({"type": "lifespan"}, never, never)
    assert passed == [{"type": "lifespan"}]
