"""Limits, counted in the real Redis."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import Depends, FastAPI, Request
from redis.asyncio import Redis

from src.core.web.problems import install
from src.core.web.rate_limits import RateLimiter, client_address, limit


@pytest.fixture
def app(redis: Redis, redis_prefix: str) -> FastAPI:
    app = FastAPI()
    install(app)
    app.state.rate_limiter = limiter = RateLimiter(redis, redis_prefix)

    @app.get("/by-address", dependencies=[Depends(limit("by-address", "3/minute"))])
    async def by_address() -> None:
        """Three times a minute."""

    @app.get("/by-account/{account}")
    async def by_account(account: str) -> None:
        await limiter.check("by-account", "2/hour", account)

    return app


def client(app: FastAPI, address: str = "203.0.113.7") -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, client=(address, 40000))
    return httpx.AsyncClient(transport=transport, base_url="https://app")


@pytest.fixture
async def http(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client(app) as http:
        yield http


async def test_more_is_refused_with_a_time_to_wait(http: httpx.AsyncClient) -> None:
    assert [(await http.get("/by-address")).status_code for _ in range(3)] == [200, 200, 200]
    response = await http.get("/by-address")
    assert response.status_code == 429
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["type"] == "urn:dashtam:problem:rate-limited"
    assert 1 <= int(response.headers["retry-after"]) <= 60


async def test_it_passes_again_when_that_time_is_over(
    http: httpx.AsyncClient, redis: Redis, redis_prefix: str
) -> None:
    for _ in range(4):
        response = await http.get("/by-account/ann")
    wait = int(response.headers["retry-after"])
    assert 3500 < wait <= 3600
    # What was counted lies as far back as we were told to wait.
    (key,) = [key async for key in redis.scan_iter(f"{redis_prefix}limits*")]
    counted = [float(moment) for moment in await redis.lrange(key, 0, -1)]
    assert len(counted) == 2
    assert await redis.ttl(key) <= 3600
    await redis.delete(key)
    await redis.rpush(key, *(moment - wait for moment in counted))
    assert (await http.get("/by-account/ann")).status_code == 200


async def test_each_has_a_count_of_its_own(app: FastAPI, http: httpx.AsyncClient) -> None:
    for _ in range(4):
        await http.get("/by-address")
    async with client(app, "203.0.113.8") as other:
        assert (await other.get("/by-address")).status_code == 200
    assert (await http.get("/by-account/ann")).status_code == 200


async def test_who_claims_another_address_is_not_believed(http: httpx.AsyncClient) -> None:
    for number in range(3):
        await http.get("/by-address", headers={"X-Forwarded-For": f"198.51.100.{number}"})
    response = await http.get("/by-address", headers={"X-Forwarded-For": "198.51.100.9"})
    assert response.status_code == 429


async def test_the_addresses_of_one_network_count_together(app: FastAPI) -> None:
    for number in range(3):
        async with client(app, f"2001:db8:1:2::{number}") as one:
            assert (await one.get("/by-address")).status_code == 200
    async with client(app, "2001:db8:1:2:ffff::1") as neighbour, client(app, "2001:db8:1:3::1") as other:
        assert (await neighbour.get("/by-address")).status_code == 429
        assert (await other.get("/by-address")).status_code == 200


async def test_nothing_of_whom_is_counted_is_readable(
    http: httpx.AsyncClient, redis: Redis, redis_prefix: str
) -> None:
    await http.get("/by-account/ann@example.org")
    keys = [key async for key in redis.scan_iter("*")]
    assert any(key.startswith(f"{redis_prefix}limits") for key in keys)
    assert not [key for key in keys if "ann" in key]


async def test_attempts_at_the_same_time_are_all_counted(http: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(http.get("/by-address") for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [200] * 3 + [429] * 7


@pytest.mark.parametrize("host", ["testclient", ""])
def test_what_is_no_address_is_its_own_key(host: str) -> None:
    scope: dict[str, object] = {"type": "http", "client": (host, 1) if host else None, "headers": []}
    assert client_address(Request(scope)) == host


def test_a_misspelt_rate_is_an_error_at_once() -> None:
    with pytest.raises(ValueError, match="parse"):
        limit("x", "ten per minute")
