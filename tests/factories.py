"""Rows as the app would have made them, one keyword away from the case a test is about.

    ann = await factories.user(session, name="Ann")
    mine = await factories.provider(session, ann, alias="Mine")

Each is committed in the session it is given, so that the app sees it.
"""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from argon2 import PasswordHasher
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from src.models import Provider, ProviderConnection, ProviderToken, User
from src.models.account import RefreshToken
from src.models.provider import ConnectionStatus

PASSWORD = "Correct-horse-7"
# The least work that argon2 allows.
hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)

Row = TypeVar("Row", bound=SQLModel)


async def save(session: AsyncSession, row: Row) -> Row:
    """``row``, as the database has completed it."""
    session.add(row)
    await session.commit()
    await session.refresh(row)
    return row


async def user(session: AsyncSession, **values: Any) -> User:
    """Somebody who has verified their address and logged in once; their password is ``PASSWORD``.

    The login has the user's own id, for tests that issue its access tokens.
    """
    default = {
        "email": f"{uuid.uuid4().hex}@example.org",
        "password_hash": hasher.hash(PASSWORD),
        "name": "Ann Example",
        "email_verified_at": datetime.now(UTC),
    }
    user = await save(session, User(**default | values))
    login = {"user_id": user.id, "family_id": user.id, "token_hash": user.id.bytes}
    await save(session, RefreshToken(**login, expires_at=datetime.now(UTC) + timedelta(days=1)))
    return user


async def provider(session: AsyncSession, user: User, **values: Any) -> Provider:
    """A provider without a connection."""
    default = {"provider_key": "schwab", "alias": f"Account {uuid.uuid4().hex[:8]}"}
    return await save(session, Provider(user_id=user.id, **default | values))


async def connection(session: AsyncSession, provider: Provider, **values: Any) -> ProviderConnection:
    """An active connection without tokens."""
    default = {"status": ConnectionStatus.ACTIVE, "connected_at": datetime.now(UTC)}
    return await save(session, ProviderConnection(provider_id=provider.id, **default | values))


async def token(session: AsyncSession, connection: ProviderConnection, **values: Any) -> ProviderToken:
    """Tokens that nothing decrypts, good for half an hour."""
    default = {
        "access_token_encrypted": b"not encrypted",
        "key_id": "none",
        "expires_at": datetime.now(UTC) + timedelta(minutes=30),
    }
    return await save(session, ProviderToken(connection_id=connection.id, **default | values))
