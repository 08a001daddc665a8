"""Wrong passwords, counted: ten in a row lock the account for an hour.

An address without an account is counted and locked in the same way, in Redis: neither the answers nor their
Retry-After tell which addresses have one.

An attempt is counted before its password is verified, and the count is reset if the password is right. So
no more than ten passwords are verified, however many come at the same time.
"""

import hashlib
import math
from datetime import UTC, datetime, timedelta

from redis.asyncio import Redis
from sqlalchemy import case, or_, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from src.accounts import users
from src.core.web.problems import Problem
from src.models import User

LIMIT = 10
LOCK = timedelta(hours=1)
# How long attempts at an address without an account are remembered; an account remembers them until a login.
MEMORY = timedelta(days=30)


class AccountLocked(Problem):
    def __init__(self, seconds: float) -> None:
        super().__init__(
            423,
            "account-locked",
            f"After {LIMIT} wrong passwords this account is locked. Try again in {math.ceil(seconds / 60)}"
            " minutes, or choose a new password by way of POST /api/v1/password-resets/.",
            headers={"Retry-After": str(max(1, math.ceil(seconds)))},
        )


async def count(session: AsyncSession, email: str) -> User | None:
    """The user of this address, one attempt later; to be committed before the password is looked at.

    None where nobody has the address, :class:`AccountLocked` while the account is.
    """
    while True:
        now = datetime.now(UTC)
        if user := await _counted(session, email, now):
            return user
        user = await users.by_email(session, email)
        if user is None:
            return None
        if user.locked_until and user.locked_until > now:
            raise AccountLocked((user.locked_until - now).total_seconds())
        # Unlocked or registered between the two statements.


async def _counted(session: AsyncSession, email: str, now: datetime) -> User | None:
    """The user one attempt later, in one statement; None where nobody has the address or it is locked."""
    locked_until = col(User.locked_until)
    attempts = case((locked_until <= now, 1), else_=col(User.failed_login_attempts) + 1)
    count = (
        update(User)
        .where(col(User.email) == email, or_(locked_until.is_(None), locked_until <= now))
        .values(
            failed_login_attempts=attempts, locked_until=case((attempts >= LIMIT, now + LOCK), else_=None)
        )
        .returning(User)
        .execution_options(synchronize_session=False, populate_existing=True)
    )
    return (await session.scalars(count)).one_or_none()


async def count_unknown(redis: Redis, prefix: str, email: str) -> None:
    """Count an attempt at an address without an account. :class:`AccountLocked` while it is locked."""
    # A hash, so that no address lies about in Redis.
    key = f"{prefix}unknown-address:{hashlib.sha256(email.encode()).hexdigest()}"
    async with redis.pipeline() as pipe:
        pipe.incr(key)
        pipe.expire(key, MEMORY, nx=True)
        pipe.pttl(key)
        attempts, _, left = await pipe.execute()
    if attempts == LIMIT:
        await redis.expire(key, LOCK)
    elif attempts > LIMIT:
        raise AccountLocked(min(left / 1000, LOCK.total_seconds()))


def reset(user: User) -> None:
    """Forget all failed attempts and unlock the account. The user's row is locked by the caller."""
    user.failed_login_attempts = 0
    user.locked_until = None
