"""What Redis lets the app's user do, and a client without a password: counted, command by command."""

import re
from collections.abc import AsyncIterator, Callable

import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

from src.core.config import Settings
from src.core.redis import tls_arguments

# What takes a server over, shows what others do, changes it, stops it, or deletes what is not one's own.
# SHUTDOWN is the last: where it is allowed after all, nothing can be asked afterwards.
DANGEROUS = [
    "ACL SETUSER default on nopass ~* +@all",
    "ACL WHOAMI",
    "BGREWRITEAOF",
    "BGSAVE",
    "CLIENT KILL TYPE normal",
    "CLIENT LIST",
    "CLIENT PAUSE 1",
    "CLUSTER INFO",
    "CONFIG GET dir",
    "CONFIG SET dir /tmp",
    "DEBUG SLEEP 0",
    "EVAL 'return 1' 0",
    "FAILOVER ABORT",
    "FLUSHALL",
    "FLUSHDB",
    "FUNCTION DELETE x",
    "FUNCTION LOAD x",
    "INFO",
    "KEYS *",
    "LATENCY RESET",
    "MIGRATE 127.0.0.1 1 x 0 1",
    "MODULE LOAD /tmp/x.so",
    "MONITOR",
    "PSYNC ? -1",
    "PUBLISH x y",
    "REPLICAOF NO ONE",
    "RESTORE dashtam:x 0 x",
    "ROLE",
    "SAVE",
    "SCRIPT FLUSH",
    "SLAVEOF NO ONE",
    "SLOWLOG RESET",
    "SORT dashtam:x",
    "SWAPDB 0 1",
    "SYNC",
    "SHUTDOWN NOSAVE",
]


async def refused(redis: Redis, error: type[RedisError]) -> list[str]:
    """The dangerous commands that Redis refuses with this error."""
    found = []
    for command in DANGEROUS:
        name, *arguments = command.split(maxsplit=1)
        words = [word.strip("'") for word in " ".join(arguments).split()]
        if name == "EVAL":
            words = ["return 1", "0"]
        try:
            await redis.execute_command(name, *words)
        except error:
            found.append(command)
        except RedisError as other:
            # MODULE and DEBUG are off for everybody, which Redis checks first.
            if re.search("command not allowed. If the enable-(module|debug)-command", str(other)):
                found.append(command)
    return found


@pytest.fixture
async def anonymous(app_settings: Settings) -> AsyncIterator[Redis]:
    """A client that knows where Redis is, and no password."""
    before, _, address = app_settings.redis_url.get_secret_value().rpartition("@")
    client = Redis.from_url(f"{before.partition('://')[0]}://{address}", **tls_arguments(app_settings))
    yield client
    await client.aclose()


async def test_without_a_password_nothing_is_allowed(
    anonymous: Redis, record_property: Callable[[str, object], None]
) -> None:
    record_property("cases", len(DANGEROUS))
    assert await refused(anonymous, AuthenticationError) == DANGEROUS
    for harmless in ("PING", "GET x", "SCAN 0", "INFO", "CLIENT INFO"):
        with pytest.raises(AuthenticationError):
            await anonymous.execute_command(*harmless.split())


@pytest.mark.parametrize("user", ["default", "app", "administrator"])
@pytest.mark.parametrize("password", ["", "app", "wrong"])
async def test_a_wrong_password_lets_nobody_in(anonymous: Redis, user: str, password: str) -> None:
    for words in ((user, password), (password,)):
        with pytest.raises((AuthenticationError, NoPermissionError)):
            await anonymous.execute_command("AUTH", *words)


async def test_the_app_is_refused_each_dangerous_command(
    redis: Redis, redis_prefix: str, record_property: Callable[[str, object], None]
) -> None:
    record_property("cases", len(DANGEROUS))
    await redis.set(f"{redis_prefix}kept", "yes")
    assert await refused(redis, NoPermissionError) == DANGEROUS
    assert await redis.get(f"{redis_prefix}kept") == "yes"


@pytest.mark.parametrize(
    "command", ["GET {}", "SET {} x", "DEL {}", "RENAME {} dashtam:x", "COPY dashtam:x {}", "EXISTS {}"]
)
async def test_the_app_is_refused_keys_that_are_not_its_own(redis: Redis, command: str) -> None:
    with pytest.raises(NoPermissionError):
        await redis.execute_command(*command.format("other:x").split())


async def test_a_script_may_do_no_more_than_its_caller(redis: Redis, redis_prefix: str) -> None:
    """Locks and rate limits are scripts; one that reaches for more is refused inside, too."""
    allowed = redis.register_script("return redis.call('SET', KEYS[1], ARGV[1])")
    assert await allowed(keys=[f"{redis_prefix}x"], args=["1"]) == "OK"
    for body in ("redis.call('FLUSHALL')", "redis.call('KEYS', '*')", "redis.call('GET', 'x')"):
        with pytest.raises(RedisError, match="ACL failure in script"):
            await redis.register_script(f"return {body}")(keys=[], args=[])
