"""The app's access to Redis: what needs it fails soon where it is away, and works again once it is back.

Redis holds nothing that the app believes only because it is there: the records of OAuth flows are
authenticated (:mod:`src.connections.flows`). The rest is counters and locks, which no signature can protect,
since removing one is enough. Somebody who reaches Redis with the app's rights could still

- reset rate limits (:mod:`src.core.web.rate_limits`) and then try more passwords and links per minute. Ten
  wrong passwords lock an account all the same: PostgreSQL counts them;
- see how often something is tried. Names are hashed, but who guesses an address can recognize its hash, also
  among the unknown addresses (:mod:`src.accounts.attempts`);
- raise counters, remove flows or fill the memory, so that people are refused until somebody removes what was
  written;
- remove the lock of a refresh (:mod:`src.connections.refresh_lock`), so that two run at once and a provider
  that rotates refresh tokens may end the connection, or hold it, so that a refresh is answered with 503.

None of it gives access to an account or to a provider's tokens.
"""

from typing import Any

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
        **tls_arguments(settings),
    )


def tls_arguments(settings: Settings) -> dict[str, Any]:
    """How a client verifies the server where the URL begins with ``rediss:``, else nothing."""
    if not settings.redis_url.get_secret_value().startswith("rediss:"):
        return {}
    ca_file = settings.tls_ca_file
    # Our CA alone; without one, the system's.
    return {
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": True,
        "ssl_ca_certs": str(ca_file) if ca_file else None,
    }
