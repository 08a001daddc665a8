"""Authorizations under way, in Redis: whose they are, and which browser may finish them.

A flow begins with two random values. ``state`` goes through the provider and comes back with the browser.
``ticket`` makes the link a one-time address: whoever opens it first becomes the flow's browser, by a cookie
that no other has. Redis knows hashes alone, and forgets after ten minutes.

So nobody can finish in their own browser what began in another. What this cannot prevent: whoever sends their
link, unopened, to somebody else is connected to that person's account if the person agrees on the provider's
page, which names the app and not its user.
"""

import hashlib
import json
import re
import secrets
import uuid
from dataclasses import asdict, dataclass, field, replace

from redis.asyncio import Redis

LIFETIME = 600  # seconds
TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True)
class Flow:
    user_id: uuid.UUID
    provider_id: uuid.UUID
    provider_key: str
    code_verifier: str = field(repr=False)
    # The hash of the browser's cookie; none until the link was opened.
    browser: str | None = None

    def is_bound_to(self, cookie: str | None) -> bool:
        """Whether this is the browser that opened the link."""
        if self.browser is None or cookie is None:
            return False
        return secrets.compare_digest(_hash(cookie), self.browser)


@dataclass(frozen=True)
class Started:
    state: str = field(repr=False)
    ticket: str = field(repr=False)


@dataclass(frozen=True)
class Opened:
    flow: Flow
    cookie: str = field(repr=False)


class FlowStore:
    """Every method raises ``RedisError`` where Redis does not answer."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._redis = redis
        self._prefix = prefix

    async def start(self, user_id: uuid.UUID, provider_id: uuid.UUID, provider_key: str) -> Started:
        started = Started(_random(), _random())
        # RFC 7636, 4.1: 43 to 128 characters of this alphabet.
        flow = Flow(user_id, provider_id, provider_key, code_verifier=secrets.token_urlsafe(64))
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.set(self._state_key(started.state), _dump(flow), ex=LIFETIME)
            pipeline.set(self._ticket_key(started.ticket), _hash(started.state), ex=LIFETIME)
            await pipeline.execute()
        return started

    async def open(self, ticket: str, state: str) -> Opened | None:
        """Redeem the ticket and bind the browser that is about to get the cookie.

        None where ticket or state are unknown, have expired or were used, or do not belong together.
        """
        if not (TOKEN.fullmatch(ticket) and TOKEN.fullmatch(state)):
            return None
        expected = await self._redis.getdel(self._ticket_key(ticket))
        if expected is None or not secrets.compare_digest(str(expected), _hash(state)):
            return None
        value = await self._redis.get(self._state_key(state))
        if value is None:
            return None
        cookie = _random()
        flow = replace(_load(value), browser=_hash(cookie))
        # Not if it was consumed meanwhile, and not for longer than it had.
        if not await self._redis.set(self._state_key(state), _dump(flow), xx=True, keepttl=True):
            return None
        return Opened(flow, cookie)

    async def consume(self, state: str) -> Flow | None:
        """The flow of this state, once; None where it is unknown, has expired or was used."""
        if not TOKEN.fullmatch(state):
            return None
        value = await self._redis.getdel(self._state_key(state))
        return None if value is None else _load(value)

    def _state_key(self, state: str) -> str:
        return f"{self._prefix}oauth:state:{_hash(state)}"

    def _ticket_key(self, ticket: str) -> str:
        return f"{self._prefix}oauth:ticket:{_hash(ticket)}"


def _random() -> str:
    return secrets.token_urlsafe(32)


def _hash(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


def _dump(flow: Flow) -> str:
    return json.dumps(asdict(flow), default=str)


def _load(value: str | bytes) -> Flow:
    fields = json.loads(value)
    fields |= {name: uuid.UUID(fields[name]) for name in ("user_id", "provider_id")}
    return Flow(**fields)
