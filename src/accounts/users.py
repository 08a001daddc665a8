"""Users as rows."""

import uuid

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from src.models import User


async def by_email(session: AsyncSession, email: str) -> User | None:
    """The user as they are now."""
    this = select(User).where(col(User.email) == email).execution_options(populate_existing=True)
    return (await session.scalars(this)).one_or_none()


async def lock(session: AsyncSession, user_id: uuid.UUID) -> User | None:
    """The user as they are now. Until this transaction ends, nobody else adds or ends what lets them in:
    whoever does that locks the user first.

    Not so strong that rows which refer to the user would have to wait (FOR NO KEY UPDATE).
    """
    return await session.get(User, user_id, with_for_update={"key_share": True}, populate_existing=True)


async def add(session: AsyncSession, email: str, password_hash: str, name: str) -> User | None:
    """A new user, whose address is not verified; None where the address has an account."""
    row = {"id": uuid.uuid4(), "email": email, "password_hash": password_hash, "name": name}
    added = insert(User).values(row).on_conflict_do_nothing(index_elements=["email"]).returning(User)
    return (await session.scalars(added)).one_or_none()
