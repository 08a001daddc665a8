"""The other way, as a pytest plugin: every test drops and creates all tables, and commits for real."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from src.core.config import OwnerSettings, load
from src.models import metadata


@pytest.fixture
async def session() -> AsyncIterator[AsyncSession]:
    """A session in tables that no test has used before. Tables alone are cheaper than a whole database."""
    url = load(OwnerSettings).database_url.get_secret_value()
    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.begin() as connection:
        await connection.execute(text('CREATE EXTENSION IF NOT EXISTS "uuid-ossp"'))
        await connection.run_sync(metadata.drop_all)
        await connection.run_sync(metadata.create_all)
    async with AsyncSession(engine, expire_on_commit=False) as session:
        yield session
    await engine.dispose()
