"""Token endpoints that answer anything, over TLS, to the app's own client."""

import asyncio
import dataclasses
import gzip
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncSession

from src.connections import transport
from src.core.config import Settings
from src.models import Provider, User
from tests.api.connections.test_relay import assert_refused
from tests.api.oauth_flow import OAuthFlow, Opened, stored

TOKENS = json.dumps({"access_token": "a", "token_type": "Bearer", "expires_in": 1800}).encode()
ANSWER_INVALID = (502, "provider-answer-invalid")
UNAVAILABLE = (502, "provider-unavailable")
TIMEOUT = (504, "provider-timeout")


def http(
    content: bytes, status: str = "200 OK", content_type: str = "application/json", *headers: str
) -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Type: {content_type}", "Connection: close", *headers]
    if not any(header.startswith("Content-Length") for header in headers):
        head.append(f"Content-Length: {len(content)}")
    return "\r\n".join([*head, "", ""]).encode() + content


def endless() -> bytes:
    """No length is given, and more than is read."""
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + b" " * (transport.MAX_BYTES + 1)


@asynccontextmanager
async def answering(
    settings: Settings, answer: bytes, pause: float = 0, context: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """A server that answers every request so, if there is a pause, byte by byte."""
    served: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        served.add(task)
        try:
            await reader.readuntil(b"\r\n\r\n")
            for piece in [answer] if not pause else [bytes([byte]) for byte in answer]:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause)
        except (ConnectionError, asyncio.CancelledError):
            pass  # whoever asked has heard enough
        finally:
            writer.close()

    if context is None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(settings.tls_cert_file, settings.tls_key_file)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    yield f"https://localhost:{server.sockets[0].getsockname()[1]}/token"
    server.close()
    for task in served:
        task.cancel()
    await asyncio.gather(*served, return_exceptions=True)
    await server.wait_closed()


@pytest.fixture
def asked_at(app: FastAPI) -> Callable[[str], None]:
    """Let the app ask for tokens at another address."""

    def ask(token_url: str) -> None:
        schwab = app.state.provider_types["schwab"]
        app.state.provider_types = {"schwab": dataclasses.replace(schwab, token_url=token_url)}

    return ask


async def opened(flow: OAuthFlow, user: User, provider: Provider) -> tuple[Opened, dict[str, str]]:
    flow_opened = await flow.open(user, provider)
    return flow_opened, {"state": flow_opened.state, "code": "C0de"}


SLOPPY = b"""{"access_token": "a", "token_type": "bearer ", "expires_in": "1799.5", "refresh_token": "",
    "id_token": null, "scope": ["api"], "error": null, "unknown": 1}"""


@pytest.mark.parametrize("raw", [http(TOKENS), http(SLOPPY), http(SLOPPY, "201 Created", "text/plain")])
async def test_what_is_good_is_taken(
    flow: OAuthFlow,
    app_settings: Settings,
    session: AsyncSession,
    user: User,
    provider: Provider,
    asked_at: Callable[[str], None],
    raw: bytes,
) -> None:
    """So that it is not something else that refuses the others."""
    way, answer = await opened(flow, user, provider)
    async with answering(app_settings, raw) as url:
        asked_at(url)
        response = await flow.complete(answer, way.cookies)
    assert response.status_code == 200, response.text
    assert await stored(session) == (1, 1)


@pytest.mark.parametrize(
    ("raw", "pause", "expected", "reason"),
    [
        (http(b'{"token_type": "Bearer"}'), 0, ANSWER_INVALID, "invalid_access_token"),
        (http(TOKENS.replace(b"Bearer", b"mac")), 0, ANSWER_INVALID, "invalid_token_type"),
        (http(b"[" * 60_000), 0, ANSWER_INVALID, "not_json"),
        (http(b"<html>Signed in", "200 OK", "text/html"), 0, ANSWER_INVALID, "content_type"),
        (
            http(gzip.compress(b" " * 10_000_000), "200 OK", "application/json", "Content-Encoding: gzip"),
            0,
            ANSWER_INVALID,
            "compressed",
        ),
        (endless(), 0, ANSWER_INVALID, "too_large"),
        (http(b" " * 100_000), 0, ANSWER_INVALID, "too_large"),
        (http(TOKENS, "200 OK", "application/json", "Content-Length: 999999"), 0, UNAVAILABLE, "unreachable"),
        (
            http(b"", "302 Found", "application/json", "Location: https://localhost/"),
            0,
            ANSWER_INVALID,
            "not_json",
        ),
        (http(b"<html>Slow down", "429 Too Many", "text/html"), 0, UNAVAILABLE, "http_429"),
        (http(b"", "503 Away", "text/html"), 0, UNAVAILABLE, "http_503"),
        (b"", 0, UNAVAILABLE, "unreachable"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", 0, UNAVAILABLE, "unreachable"),
        (http(TOKENS), 0.2, TIMEOUT, "timeout"),
    ],
)
async def test_what_is_not_good_is_not(
    flow: OAuthFlow,
    app_settings: Settings,
    session: AsyncSession,
    user: User,
    provider: Provider,
    asked_at: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    raw: bytes,
    pause: float,
    expected: tuple[int, str],
    reason: str,
) -> None:
    # Every single byte comes soon, all of them too late.
    if pause:
        monkeypatch.setattr(transport, "TIMEOUT", 2.0)
    way, answer = await opened(flow, user, provider)
    async with answering(app_settings, raw, pause) as url:
        asked_at(url)
        response = await flow.complete(answer, way.cookies)
    details = await assert_refused(response, session, *expected, provider)
    assert details["reason"] == reason


async def test_nobody_is_there(
    flow: OAuthFlow, session: AsyncSession, user: User, provider: Provider, asked_at: Callable[[str], None]
) -> None:
    way, answer = await opened(flow, user, provider)
    asked_at("https://localhost:1/token")
    details = await assert_refused(await flow.complete(answer, way.cookies), session, *UNAVAILABLE, provider)
    assert details["reason"] == "unreachable"


@pytest.mark.parametrize("host", ["127.0.0.1", "api.schwabapi.com", "fake-schwab.example"])
async def test_the_tests_app_speaks_to_the_fake_alone(
    flow: OAuthFlow,
    app_settings: Settings,
    session: AsyncSession,
    user: User,
    provider: Provider,
    asked_at: Callable[[str], None],
    host: str,
) -> None:
    """Not even to somebody who is there and has a good certificate."""
    way, answer = await opened(flow, user, provider)
    async with answering(app_settings, http(TOKENS)) as url:
        asked_at(str(httpx.URL(url).copy_with(host=host)))
        response = await flow.complete(answer, way.cookies)
    await assert_refused(response, session, *UNAVAILABLE, provider)


async def test_somebody_without_our_certificate(
    flow: OAuthFlow,
    app: FastAPI,
    app_settings: Settings,
    session: AsyncSession,
    user: User,
    provider: Provider,
    asked_at: Callable[[str], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whose certificate no CA that we trust has signed."""
    way, answer = await opened(flow, user, provider)
    app.state.settings = app_settings.model_copy(update={"tls_ca_file": None})
    async with answering(app_settings, http(TOKENS)) as url:
        asked_at(url)
        response = await flow.complete(answer, way.cookies)
    await assert_refused(response, session, *UNAVAILABLE, provider)
    assert "CERTIFICATE_VERIFY_FAILED" in caplog.text
