"""One refresh of a provider's tokens at a time, by a lock in Redis."""

import logging
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.exceptions import RedisError

from src.connections.context import Context
from src.core.web.problems import Problem

# Seconds. A holder needs the provider's ten and the database's few.
LOCK_LIFETIME = 30.0
LOCK_PATIENCE = 20.0

logger = logging.getLogger(__name__)


@asynccontextmanager
async def held(context: Context, provider_id: uuid.UUID) -> AsyncIterator[None]:
    """Hold the lock of a provider in the body.

    Raises :class:`Problem`: 503 where another refresh takes too long.
    """
    lock = context.oauth.redis.lock(
        f"{context.oauth.settings.redis_key_prefix}oauth:refresh:{provider_id}",
        timeout=LOCK_LIFETIME,
        sleep=0.05,
        blocking_timeout=LOCK_PATIENCE,
    )
    if not await lock.acquire():
        raise Problem(
            503,
            "refresh-in-progress",
            "These tokens are being refreshed. Try again soon.",
            headers={"Retry-After": "5"},
        )
    try:
        yield
    finally:
        try:
            await lock.release()
        except RedisError as error:
            # It has expired, or will: that is no reason to call what was done a failure.
            logger.warning("The lock for refreshing %s was not released: %s", provider_id, error)
