"""Connections and tokens: stored, updated, read along relationships."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from src.models import ProviderConnection, ProviderToken
from src.models.provider import ConnectionStatus
from tests import factories

REPEATS = range(20)


@pytest.mark.parametrize("number", REPEATS)
async def test_tokens_are_read_with_their_provider(session: AsyncSession, number: int) -> None:
    provider = await factories.provider(session, await factories.user(session), alias=f"Read {number}")
    connection = await factories.connection(session, provider)
    await factories.token(session, connection, access_token_encrypted=b"opaque")
    session.expunge_all()
    to_the_provider = selectinload(ProviderToken.connection).selectinload(ProviderConnection.provider)
    found = await session.scalar(select(ProviderToken).options(to_the_provider))
    assert found is not None
    assert found.access_token_encrypted == b"opaque"
    assert found.connection.provider.alias == f"Read {number}"


@pytest.mark.parametrize("number", REPEATS)
async def test_expired_tokens_are_counted(session: AsyncSession, number: int) -> None:
    ann = await factories.user(session)
    now = datetime.now(UTC)
    for minutes in (-number - 1, 30):
        connection = await factories.connection(session, await factories.provider(session, ann))
        await factories.token(session, connection, expires_at=now + timedelta(minutes=minutes))
    expired = select(func.count()).select_from(ProviderToken).where(ProviderToken.expires_at < now)
    assert await session.scalar(expired) == 1


@pytest.mark.parametrize("number", REPEATS)
async def test_a_status_is_updated(session: AsyncSession, number: int) -> None:
    provider = await factories.provider(session, await factories.user(session))
    connection = await factories.connection(session, provider, error_count=number)
    statement = update(ProviderConnection).values(status=ConnectionStatus.ERROR, error_count=number + 1)
    await session.execute(statement)
    await session.commit()
    await session.refresh(connection)
    assert (connection.status, connection.error_count) == (ConnectionStatus.ERROR, number + 1)
