"""What endpoints ask for."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession

from src.core.config import Settings


async def _session(request: Request) -> AsyncIterator[AsyncSession]:
    """A session of the request's own. Whoever changes something commits, before the answer is sent: what
    comes after a ``yield`` runs when the client has its answer (FastAPI 0.118 and later)."""
    async with request.app.state.sessions() as session:
        yield session


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def _redis(request: Request) -> Redis:
    redis: Redis = request.app.state.redis
    return redis


SessionDependency = Annotated[AsyncSession, Depends(_session)]
SettingsDependency = Annotated[Settings, Depends(_settings)]
RedisDependency = Annotated[Redis, Depends(_redis)]
