from redis.asyncio import Redis

from src.core.config import Settings


async def test_the_index_is_the_environments(redis: Redis, app_settings: Settings) -> None:
    index = app_settings.redis_url.get_secret_value().rpartition("/")[2]
    assert (await redis.client_info())["db"] == int(index)


async def test_a_value_is_consumed_once(redis: Redis, redis_prefix: str) -> None:
    """What a one-time state needs of the server."""
    key = f"{redis_prefix}state"
    await redis.set(key, "verifier", ex=600)
    assert 590 < await redis.ttl(key) <= 600
    assert await redis.getdel(key) == "verifier"
    assert await redis.getdel(key) is None


async def test_a_lock_has_one_holder(redis: Redis, redis_prefix: str) -> None:
    async with redis.lock(f"{redis_prefix}lock", timeout=10):
        assert not await redis.lock(f"{redis_prefix}lock", timeout=10).acquire(blocking=False)
    assert await redis.lock(f"{redis_prefix}lock", timeout=10).acquire(blocking=False)
