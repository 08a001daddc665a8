"""Refresh tokens: each is good for one use, which gives the next of its family (RFC 9700, 4.14.2).

One that comes a second time was copied, and nobody knows which of the two comes from the thief: the family is
revoked. Two requests at the same time are no exception; a client refreshes once and shares what it gets.
"""

import logging
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, exists, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from src.accounts import secret_tokens, users
from src.models import RefreshToken, User

# Since the last use.
LIFETIME = timedelta(days=30)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Issued:
    """What a user gets; ``family_id`` is the login that it goes back to."""

    user_id: uuid.UUID
    family_id: uuid.UUID
    token: str = field(repr=False)


async def begin(session: AsyncSession, user: User) -> Issued:
    """The first token of a new family, for a user who is locked."""
    return await _issue(session, user, uuid.uuid4())


async def rotate(session: AsyncSession, token: str) -> Issued | None:
    """The next token, where this one is good. Where not, there is still something to commit."""
    found = await _find(session, token)
    user = await users.lock(session, found.user_id) if found else None
    # Again, now that nobody else can use or revoke it.
    found = await _find(session, token)
    now = datetime.now(UTC)
    if not user or not found or not user.is_active or found.revoked_at or found.expires_at <= now:
        return None
    if found.used_at:
        logger.warning(
            "A refresh token of user %s came twice: family %s is revoked", user.id, found.family_id
        )
        await _revoke(session, col(RefreshToken.family_id) == found.family_id)
        return None
    found.used_at = now
    return await _issue(session, user, found.family_id)


async def revoke_family(session: AsyncSession, token: str) -> None:
    """End the login that this token goes back to, whatever has become of it."""
    found = await _find(session, token)
    if found and await users.lock(session, found.user_id):
        await _revoke(session, col(RefreshToken.family_id) == found.family_id)


async def revoke_all(session: AsyncSession, user: User, except_family: uuid.UUID | None = None) -> None:
    """End all logins of a user, whose row is locked, except one."""
    theirs = col(RefreshToken.user_id) == user.id
    await _revoke(
        session, theirs if except_family is None else theirs & (col(RefreshToken.family_id) != except_family)
    )


async def user_of(session: AsyncSession, user_id: uuid.UUID, family_id: uuid.UUID) -> User | None:
    """Return the user, as long as they are active and the login that is named has not ended."""
    live = (col(RefreshToken.revoked_at).is_(None), col(RefreshToken.used_at).is_(None))
    theirs = (col(RefreshToken.user_id) == user_id, col(RefreshToken.family_id) == family_id)
    this = select(User).where(col(User.id) == user_id, col(User.is_active), exists().where(*theirs, *live))
    return (await session.scalars(this)).one_or_none()


async def _find(session: AsyncSession, token: str) -> RefreshToken | None:
    this = select(RefreshToken).where(col(RefreshToken.token_hash) == secret_tokens.hashed(token))
    return (await session.scalars(this, execution_options={"populate_existing": True})).one_or_none()


async def _issue(session: AsyncSession, user: User, family_id: uuid.UUID) -> Issued:
    now = datetime.now(UTC)
    token = secret_tokens.new()
    await secret_tokens.purge(session, RefreshToken, now)
    session.add(
        RefreshToken(
            user_id=user.id,
            family_id=family_id,
            token_hash=secret_tokens.hashed(token),
            expires_at=now + LIFETIME,
        )
    )
    await session.flush()
    return Issued(user.id, family_id, token)


async def _revoke(session: AsyncSession, which: ColumnElement[bool]) -> None:
    live = update(RefreshToken).where(which, col(RefreshToken.revoked_at).is_(None))
    await session.execute(live.values(revoked_at=datetime.now(UTC)))
