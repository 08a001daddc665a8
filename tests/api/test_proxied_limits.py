"""Limits of those who come through a proxy: the real server, the real Redis."""

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx2
import pytest
from fastapi import Depends, FastAPI
from redis.asyncio import Redis

from src.core.config import ServerSettings, Settings, load
from src.core.redis import create_redis
from src.core.security.tls import client_context
from src.core.web.problems import install
from src.core.web.rate_limits import RateLimiter, limit
from tests.api.served import served

PROXY, ANN, BOB = "127.0.0.0/8", "198.51.100.7", "198.51.100.8"
Ask = Callable[..., int]


@pytest.fixture(scope="module")
def context() -> ssl.SSLContext:
    return client_context(load(ServerSettings).tls_ca_file)


@pytest.fixture
def app(redis: Redis, redis_prefix: str) -> FastAPI:
    """An app with one limit; the fixture ``redis`` removes what it counts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # In the server's own loop.
        client = create_redis(load(Settings))
        app.state.rate_limiter = RateLimiter(client, redis_prefix)
        yield
        await client.aclose()

    app = FastAPI(lifespan=lifespan)
    install(app)

    @app.get("/", dependencies=[Depends(limit("proxied", "2/minute"))])
    async def twice() -> None:
        """Twice a minute."""

    return app


def asking(address: str, context: ssl.SSLContext) -> Ask:
    """Return what a connection from 127.0.0.1 is answered: a status, for the header that it sends."""
    local = address.replace("localhost", "127.0.0.1")

    def ask(forwarded: str) -> int:
        return httpx2.get(local, verify=context, headers={"X-Forwarded-For": forwarded}).status_code

    return ask


def test_two_clients_behind_a_trusted_proxy_have_a_limit_each(app: FastAPI, context: ssl.SSLContext) -> None:
    with served(app, trusted_proxies=PROXY) as address:
        ask = asking(address, context)
        assert [ask(ANN) for _ in range(3)] == [200, 200, 429]
        assert [ask(BOB) for _ in range(3)] == [200, 200, 429]


def test_a_client_behind_it_that_names_others_gains_nothing(app: FastAPI, context: ssl.SSLContext) -> None:
    """The proxy adds whom it speaks to behind what the client has sent."""
    with served(app, trusted_proxies=PROXY) as address:
        ask = asking(address, context)
        assert [ask(f"203.0.113.{number}, {ANN}") for number in range(3)] == [200, 200, 429]
        assert ask(f"{BOB}, {ANN}") == 429
        # Nor does anybody whom it named lose something.
        assert ask(BOB) == 200


@pytest.mark.parametrize("trusted", ["", "192.0.2.0/24"])
def test_a_client_that_is_no_trusted_proxy_gains_nothing(
    app: FastAPI, context: ssl.SSLContext, trusted: str
) -> None:
    with served(app, trusted_proxies=trusted) as address:
        ask = asking(address, context)
        assert [ask(f"203.0.113.{number}") for number in range(3)] == [200, 200, 429]
