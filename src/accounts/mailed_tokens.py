"""Single-use tokens of mailed links.

Several links of a kind may be out, for who asks again and then finds the first mail; the use of one ends all.
"""

from datetime import UTC, datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from src.accounts import secret_tokens, users
from src.models import MailedToken, User
from src.models.account import Purpose

LIFETIME = {Purpose.VERIFY_EMAIL: timedelta(hours=24), Purpose.RESET_PASSWORD: timedelta(hours=1)}


async def issue(session: AsyncSession, user: User, purpose: Purpose) -> str:
    """A new token; what is stored of it is its hash."""
    now = datetime.now(UTC)
    token = secret_tokens.new()
    await secret_tokens.purge(session, MailedToken, now)
    session.add(
        MailedToken(
            user_id=user.id,
            purpose=purpose,
            token_hash=secret_tokens.hashed(token),
            expires_at=now + LIFETIME[purpose],
        )
    )
    await session.flush()
    return token


async def find(session: AsyncSession, token: str, purpose: Purpose) -> MailedToken | None:
    """The token, while it is good."""
    good = (
        select(MailedToken)
        .where(
            col(MailedToken.token_hash) == secret_tokens.hashed(token), col(MailedToken.purpose) == purpose
        )
        .where(col(MailedToken.used_at).is_(None), col(MailedToken.expires_at) > datetime.now(UTC))
    )
    return (await session.scalars(good)).one_or_none()


async def was_used(session: AsyncSession, token: str, purpose: Purpose) -> bool:
    """Whether the token's purpose is fulfilled, by itself or by another of the user's links."""
    ended = select(col(MailedToken.id)).where(
        col(MailedToken.token_hash) == secret_tokens.hashed(token),
        col(MailedToken.purpose) == purpose,
        col(MailedToken.used_at).is_not(None),
    )
    return (await session.scalars(ended)).one_or_none() is not None


async def use(session: AsyncSession, token: str, purpose: Purpose) -> User | None:
    """Whose good token this is, locked; none of their links of this kind is good any more."""
    found = await find(session, token, purpose)
    if found is None:
        return None
    user = await users.lock(session, found.user_id)
    # Again, now that nobody else can use it.
    if user is None or await find(session, token, purpose) is None:
        return None
    await end(session, user, purpose)
    return user


async def end(session: AsyncSession, user: User, purpose: Purpose) -> None:
    """No link of this kind that ``user`` was mailed is good any more."""
    good = (
        update(MailedToken)
        .where(col(MailedToken.user_id) == user.id, col(MailedToken.purpose) == purpose)
        .where(col(MailedToken.used_at).is_(None))
    )
    await session.execute(good.values(used_at=datetime.now(UTC)))
