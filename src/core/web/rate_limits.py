"""How often something may be tried, counted in Redis. Without Redis nothing passes: limits fail closed.

By address: ``@router.post("/login", dependencies=[Depends(limit("login", "30/minute"))])``; by anything else:
``await limiter.check("login-account", "10/hour", body.email)``.
"""

import hashlib
import ipaddress
import math
import time
from collections.abc import Awaitable, Callable

from limits import parse
from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from redis.asyncio import Redis
from starlette.requests import Request

from src.core.web.problems import Problem

# Behind a proxy that is not trusted, or docker's own, that is more than one client.
FROM_ADDRESS = " from your network address"


class RateLimited(Problem):
    """Too often; ``Retry-After`` says in how many seconds the next one counts."""

    def __init__(self, retry_after: int, counted: str = "") -> None:
        super().__init__(
            429,
            "rate-limited",
            f"Too many attempts{counted}. Try again in {retry_after} seconds.",
            headers={"Retry-After": str(retry_after)},
        )
        self.retry_after = retry_after


def client_address(request: Request) -> str:
    """Return the client's address for counting, of IPv6 the /64 that one customer has.

    It is the peer's, or what a proxy in TRUSTED_PROXIES says (:func:`src.core.web.server.uvicorn_options`).
    All that connect to a port which docker publishes on 127.0.0.1 have the address of the network's gateway,
    and count as one client.
    """
    return network_of(request.client.host if request.client else "")


def network_of(host: str) -> str:
    """An address, of IPv6 the /64, as one key for counting; whatever else it is, as it is.

    An IPv4 address in IPv6's notation, as some proxies write it, is that IPv4 address (RFC 4291, 2.5.5.2).
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address.packed, 64), strict=False))
    return host


class RateLimiter:
    """Counters in Redis, by way of the app's own connections."""

    def __init__(self, redis: Redis, key_prefix: str) -> None:
        storage = RedisStorage(
            "async+redis://",
            implementation="redispy",
            key_prefix=f"{key_prefix}limits",
            connection_pool=redis.connection_pool,  # type: ignore[arg-type]  # documented, not annotated
        )
        self._counters = MovingWindowRateLimiter(storage)

    async def check(self, name: str, per: str, key: str, counted: str = "") -> None:
        """Count an attempt at ``name`` by ``key``; :class:`RateLimited` where there were more than ``per``.

        ``counted`` says in the answer what was counted, as ``FROM_ADDRESS`` does. Refused attempts are not
        counted. Raises what redis raises where it does not answer.
        """
        item = parse(per)
        # A hash, so that nobody makes keys of any length, and no address or e-mail lies about in Redis.
        who = hashlib.sha256(key.encode()).hexdigest()
        if await self._counters.hit(item, name, who):
            return
        window = await self._counters.get_window_stats(item, name, who)
        raise RateLimited(max(1, math.ceil(window.reset_time - time.time())), counted)


def limit(name: str, per: str) -> Callable[[Request], Awaitable[None]]:
    """A dependency that refuses what one address sends more often than ``per``, as ``10/minute``.

    The app's :class:`RateLimiter` is its ``state.rate_limiter``.
    """
    parse(per)  # a misspelt rate is an error when the module is imported, not with the first request

    async def dependency(request: Request) -> None:
        limiter: RateLimiter = request.app.state.rate_limiter
        await limiter.check(f"{name}-per-address", per, client_address(request), FROM_ADDRESS)

    return dependency
