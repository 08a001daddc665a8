"""Whether the app can do its work: database, migrations, Redis."""

import asyncio
import logging
from collections.abc import Awaitable
from typing import Literal, TypeVar

from pydantic import BaseModel
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from src.core.schema.applied import QUERY, Applied

TIMEOUT = 2.0
State = TypeVar("State", bound=str)

logger = logging.getLogger(__name__)


class Health(BaseModel):
    status: Literal["ok"] = "ok"


class Checks(BaseModel):
    """The state of each part."""

    database: Literal["ok", "unreachable"]
    redis: Literal["ok", "unreachable"]
    migrations: Literal["ok", "not at head"]


class Readiness(BaseModel):
    status: Literal["ready", "not ready"]
    checks: Checks


async def readiness(
    engine: AsyncEngine, redis: Redis, expected: frozenset[str], ahead: bool = False
) -> Readiness:
    """What works and what does not. Reasons go to the log, not to whoever asks.

    :param expected: the code's newest revisions.
    :param ahead: whether a database that has these and newer ones will do.
    """
    database, migrations, cache = await asyncio.gather(
        _state("database", _database(engine), "unreachable"),
        _state("migrations", _migrations(engine, expected, ahead), "not at head"),
        _state("redis", _redis(redis), "unreachable"),
    )
    is_ready = database == cache == migrations == "ok"
    return Readiness(
        status="ready" if is_ready else "not ready",
        checks=Checks(database=database, redis=cache, migrations=migrations),
    )


async def _state(part: str, check: Awaitable[None], otherwise: State) -> State | Literal["ok"]:
    try:
        async with asyncio.timeout(TIMEOUT):
            await check
    except Exception as error:  # whatever a driver raises, the part does not work
        logger.warning("Not ready: %s: %s: %s", part, type(error).__name__, error)
        return otherwise
    return "ok"


async def _database(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))


async def _migrations(engine: AsyncEngine, expected: frozenset[str], ahead: bool) -> None:
    async with engine.connect() as connection:
        found = Applied.of(*(await connection.execute(text(QUERY))).one())
    if not (expected <= found.revisions if ahead else found.newest == expected):
        raise LookupError(f"the database is at {sorted(found.newest)}, the code at {sorted(expected)}")


async def _redis(redis: Redis) -> None:
    # Stored and read by one command each would leave a key behind; PING needs no key.
    await redis.ping()
