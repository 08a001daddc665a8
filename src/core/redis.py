"""The app's access to Redis: what needs it fails soon where it is away, and works again once it is back."""

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

from src.core.config import Settings

CONNECT_TIMEOUT = 1.0
ANSWER_TIMEOUT = 2.0


def create_redis(settings: Settings) -> Redis:
    """A client with a pool. Nothing is connected yet.

    One retry, at once: after a restart of the server the pool holds connections that only their use shows to
    be broken. None after a time-out, because a command that may have been done is not done again. By default
    redis-py would try for ten times as long, with pauses, while somebody waits.
    """
    return Redis.from_url(
        settings.redis_url.get_secret_value(),
        decode_responses=True,
        socket_connect_timeout=CONNECT_TIMEOUT,
        socket_timeout=ANSWER_TIMEOUT,
        retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
    )
