"""Authorizations under way, in Redis: whose they are, and which browser may finish them.

A flow begins with two random values. ``state`` goes through the provider and comes back with the browser.
``ticket`` makes the link a one-time address: whoever opens it first becomes the flow's browser, by a cookie
that no other has. Redis has hashes of both as keys, and forgets after ten minutes.

A record is encrypted and authenticated together with its Redis key and its end
(:mod:`src.core.security.encryption`). Whoever reaches Redis can neither read it nor write one that is
accepted, nor use it under another key, for another user or after its ten minutes. They can remove records,
and within the ten minutes write back one that was used: a link could then be opened a second time, by
somebody who knows it. A provider accepts its code only once (RFC 6749, 4.1.2).

So nobody can finish in their own browser what began in another. What this cannot prevent: whoever sends their
link, unopened, to somebody else is connected to that person's account if the person agrees on the provider's
page, which names the app and not its user.
"""

import hashlib
import json
import logging
import re
import secrets
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace

from redis.asyncio import Redis
from redis.client import NEVER_DECODE
from redis.exceptions import ResponseError

from src.core.security.encryption import DecryptionError, Keyring

LIFETIME = 600  # seconds
# The keys' purpose. Whoever changes a record's form changes it, so that older records are refused.
PURPOSE = "dashtam: records of OAuth flows in Redis, 2"
TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Flow:
    # Names it in the audit log, where two of the same provider must be told apart. It opens nothing.
    id: uuid.UUID
    user_id: uuid.UUID
    provider_id: uuid.UUID
    provider_key: str
    code_verifier: str = field(repr=False)
    # In seconds since 1970: Redis's own time to live can be changed by whoever reaches it.
    expires_at: float
    # The hash of the browser's cookie; none until the link was opened.
    browser: str | None = None

    def is_bound_to(self, cookie: str | None) -> bool:
        """Whether this is the browser that opened the link."""
        if self.browser is None or cookie is None:
            return False
        return secrets.compare_digest(_hash(cookie), self.browser)


@dataclass(frozen=True)
class Started:
    id: uuid.UUID
    state: str = field(repr=False)
    ticket: str = field(repr=False)


@dataclass(frozen=True)
class Opened:
    flow: Flow
    cookie: str = field(repr=False)


class FlowStore:
    """Every method raises ``RedisError`` where Redis does not answer.

    ``keyring`` is that of ENCRYPTION_KEY; ``now`` tells the seconds since 1970.
    """

    def __init__(
        self, redis: Redis, prefix: str, keyring: Keyring, now: Callable[[], float] = time.time
    ) -> None:
        self._redis = redis
        self._prefix = prefix
        self._keyring = keyring.derived(PURPOSE)
        self._now = now

    async def start(self, user_id: uuid.UUID, provider_id: uuid.UUID, provider_key: str) -> Started:
        started = Started(uuid.uuid4(), _random(), _random())
        # RFC 7636, 4.1: 43 to 128 characters of this alphabet.
        verifier = secrets.token_urlsafe(64)
        expires_at = self._now() + LIFETIME
        flow = Flow(started.id, user_id, provider_id, provider_key, verifier, expires_at)
        state_key, ticket_key = self._state_key(started.state), self._ticket_key(started.ticket)
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.set(state_key, self._seal(_dump(flow), state_key), ex=LIFETIME)
            pipeline.set(ticket_key, self._seal(_hash(started.state), ticket_key), ex=LIFETIME)
            await pipeline.execute()
        return started

    async def open(self, ticket: str, state: str) -> Opened | None:
        """Redeem the ticket and bind the browser that is about to get the cookie.

        None where ticket or state are unknown, have expired or were used, or do not belong together.
        """
        if not (TOKEN.fullmatch(ticket) and TOKEN.fullmatch(state)):
            return None
        expected = await self._read("GETDEL", self._ticket_key(ticket))
        if expected is None or not secrets.compare_digest(expected, _hash(state)):
            return None
        key = self._state_key(state)
        flow = self._load(await self._read("GET", key))
        if flow is None:
            return None
        cookie = _random()
        flow = replace(flow, browser=_hash(cookie))
        # Not if it was consumed meanwhile, and not for longer than it had.
        if not await self._redis.set(key, self._seal(_dump(flow), key), xx=True, keepttl=True):
            return None
        return Opened(flow, cookie)

    async def consume(self, state: str) -> Flow | None:
        """The flow of this state, once; None where it is unknown, has expired or was used."""
        if not TOKEN.fullmatch(state):
            return None
        return self._load(await self._read("GETDEL", self._state_key(state)))

    async def _read(self, command: str, key: str) -> str | None:
        """The record at ``key``; None where there is none, or one that was not written here for this key."""
        try:
            # redis-py annotates neither this method nor the option, which leaves the bytes as they are.
            value = await self._redis.execute_command(command, key, **{NEVER_DECODE: True})  # type: ignore[no-untyped-call]
        except ResponseError as error:
            # A list or another type of Redis's: nothing that was written here.
            if not str(error).startswith("WRONGTYPE"):
                raise
            value = b""
        if value is None:
            return None
        try:
            return self._keyring.unseal(value, key.encode(), where=key)
        except DecryptionError as error:
            logger.warning("Ignoring a record in Redis that this app's keys did not write: %s", error)
            return None

    def _seal(self, record: str, key: str) -> bytes:
        return self._keyring.seal(record, key.encode())

    def _load(self, record: str | None) -> Flow | None:
        if record is None:
            return None
        fields = json.loads(record)
        fields |= {name: uuid.UUID(fields[name]) for name in ("id", "user_id", "provider_id")}
        flow = Flow(**fields)
        return flow if self._now() < flow.expires_at else None

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
