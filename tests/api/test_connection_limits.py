"""Slow and large requests, and claimed addresses, from real sockets to a server that runs as ours do."""

import asyncio
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from src.core.config import ServerSettings, load
from src.core.security.tls import client_context
from src.core.web import connection_limits, server
from src.core.web.requests import MAX_BODY, RequestMiddleware
from tests.api.served import served

# Seconds until a connection that sends nothing more must be gone.
GONE = 20
EACH = 150


async def whoever(request: Request) -> Response:
    await request.body()
    assert request.client
    return PlainTextResponse(request.client.host)


def application() -> RequestMiddleware:
    routes = [Route("/", whoever, methods=["GET", "POST"])]
    return RequestMiddleware(Starlette(routes=routes), lambda: routes, lambda: PlainTextResponse("", 500))


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with served(application()) as address:
        yield address


@pytest.fixture(scope="module")
def context() -> ssl.SSLContext:
    return client_context(load(ServerSettings).tls_ca_file)


def connect(address: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", urlsplit(address).port or 0), timeout=GONE)


def talk(address: str, context: ssl.SSLContext, *parts: bytes, pause: float = 0) -> bytes:
    """All that the server answers to the parts, until it closes."""
    with context.wrap_socket(connect(address), server_hostname="localhost") as connection:
        with suppress(OSError):
            for part in parts:
                connection.sendall(part)
                time.sleep(pause)
        answer = b""
        with suppress(ConnectionError, ssl.SSLError):
            while data := connection.recv(65536):
                answer += data
        return answer


def test_what_is_half_open_is_closed(address: str, context: ssl.SSLContext) -> None:
    """600 connections: without a handshake, without a request, with half of its headers, half of its body."""
    kinds = [
        None,
        b"",
        b"GET / HTTP/1.1\r\nHost: local",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf",
    ]
    with ExitStack() as stack:
        begun = time.monotonic()
        connections = []
        for kind in kinds * EACH:
            connection = stack.enter_context(connect(address))
            if kind is not None:
                connection = stack.enter_context(context.wrap_socket(connection, server_hostname="localhost"))
                connection.sendall(kind)
            connections.append(connection)
        assert len(connections) == 600
        assert httpx2.get(address, verify=context, timeout=5).status_code == 200
        for connection in connections:
            connection.settimeout(max(0.1, begun + GONE - time.monotonic()))
            with suppress(ConnectionError, ssl.SSLError):
                # A response to the half that came, if any, and then the end.
                while connection.recv(65536):
                    pass
        assert time.monotonic() - begun < GONE
    assert httpx2.get(address, verify=context, timeout=5).status_code == 200


def test_a_request_that_drips_is_cut_off(
    address: str, context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a connection that was good for a request before: each byte is in time, the request is not."""
    monkeypatch.setattr(connection_limits, "REQUEST", 1.0)
    whole = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    begun = time.monotonic()
    answer = talk(
        address, context, whole, *(bytes([byte]) for byte in b"GET / HTTP/1.1\r\nX: " + b"x" * 60), pause=0.1
    )
    assert answer.count(b"HTTP/1.1 200 OK") == 1
    assert time.monotonic() - begun < 10


def send_for_ever(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 100)


def test_who_does_not_read_the_answers_is_cut_off(
    address: str, context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_limits, "REQUEST", 1.0)
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.settimeout(GONE)
    plain.connect(("127.0.0.1", urlsplit(address).port or 0))
    # Until the server has closed; a send that it leaves waiting would end in a TimeoutError.
    closed = pytest.raises((ConnectionError, ssl.SSLError))
    with context.wrap_socket(plain, server_hostname="localhost") as connection, closed:
        send_for_ever(connection)
    assert httpx2.get(address, verify=context, timeout=5).status_code == 200


def test_a_connection_that_is_used_no_more_is_closed(address: str, context: ssl.SSLContext) -> None:
    begun = time.monotonic()
    assert b"HTTP/1.1 200 OK" in talk(address, context, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert time.monotonic() - begun < 10


def test_a_slow_answer_is_not_cut_off(context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_limits, "REQUEST", 0.5)

    async def slow(request: Request) -> Response:
        await asyncio.sleep(1.5)
        return PlainTextResponse("late")

    with served(Starlette(routes=[Route("/", slow)])) as address:
        assert httpx2.get(address, verify=context, timeout=5).text == "late"


TOO_LONG = server.MAX_HEADERS + connection_limits.SLICE


@pytest.mark.parametrize("headers", [b"a:\r\n" * 10_000, b"Cookie: " + b"x" * TOO_LONG + b"\r\n"])
def test_more_headers_than_we_read(address: str, context: ssl.SSLContext, headers: bytes) -> None:
    answer = talk(address, context, b"GET / HTTP/1.1\r\nHost: a\r\n" + headers + b"\r\n")
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 431 "))


def test_as_many_headers_as_browsers_send(address: str, context: ssl.SSLContext) -> None:
    headers = {"Cookie": "; ".join(f"name{number}={'x' * 100}" for number in range(150))}
    assert httpx2.get(address, verify=context, headers=headers).status_code == 200


@pytest.mark.parametrize("size", [MAX_BODY, MAX_BODY + 1])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_is_limited(address: str, context: ssl.SSLContext, size: int, chunked: bool) -> None:
    body = iter([b"x" * size]) if chunked else b"x" * size
    response = httpx2.post(address, verify=context, content=body)
    assert response.status_code == (200 if size <= MAX_BODY else 413)


def test_more_requests_than_are_served_at_a_time(
    context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 5)
    with served(application()) as address, ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(context.wrap_socket(connect(address), server_hostname="localhost"))
        assert httpx2.get(address, verify=context).status_code == 503
        stack.close()
        for _ in range(50):
            if (status := httpx2.get(address, verify=context).status_code) == 200:
                break
            time.sleep(0.1)
        assert status == 200


@pytest.mark.parametrize(
    ("trusted", "claimed", "believed"),
    [
        ("", "198.51.100.9", "127.0.0.1"),
        ("192.0.2.0/24", "198.51.100.9", "127.0.0.1"),
        ("127.0.0.0/8", "198.51.100.9", "198.51.100.9"),
        # What the client itself has sent stands before what the proxy adds.
        ("127.0.0.0/8", "203.0.113.1, 198.51.100.9", "198.51.100.9"),
        ("127.0.0.0/8,198.51.100.0/24", "203.0.113.1, 198.51.100.9", "203.0.113.1"),
    ],
)
def test_only_a_trusted_proxy_says_who_the_client_is(
    context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch, trusted: str, claimed: str, believed: str
) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    with served(application(), trusted_proxies=trusted) as address:
        local = address.replace("localhost", "127.0.0.1")
        answer = httpx2.get(local, verify=context, headers={"X-Forwarded-For": claimed})
        assert answer.text == believed
