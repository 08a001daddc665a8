"""Logging in with an address and a password, and proving the password again to change it."""

import logging
from datetime import UTC, datetime

from pydantic import SecretStr
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession

from src.accounts import attempts, mail, mailed_tokens, passwords, refresh_tokens, users
from src.accounts.refresh_tokens import Issued
from src.core.commits import commit_before_mail, commit_despite_refusal
from src.core.config import Settings
from src.core.web.problems import Problem
from src.core.web.rate_limits import RateLimited, RateLimiter
from src.models import User
from src.models.account import Purpose

logger = logging.getLogger(__name__)


async def log_in(
    session: AsyncSession,
    redis: Redis,
    rate_limiter: RateLimiter,
    settings: Settings,
    email: str,
    password: SecretStr,
) -> Issued:
    """Begin a login: its first refresh token.

    Raises :class:`Problem`: 401 for a wrong address or password, 403 for an account that is not active or
    whose address is not verified, 423 while the account is locked.
    """
    user = await authenticate(session, redis, settings, email, password)
    if user is None:
        raise Problem(
            401,
            "wrong-credentials",
            "Address or password is wrong.",
            headers={"WWW-Authenticate": "Bearer"},
        )
    if not user.is_active:
        await commit_despite_refusal(session)
        raise Problem(403, "account-inactive", "This account was deactivated.")
    if not user.email_verified:
        await _mail_verification_again(session, rate_limiter, settings, user)
        raise Problem(
            403, "email-not-verified", "Follow the link that was mailed to this address, then log in again."
        )
    user.last_login_at = datetime.now(UTC)
    if passwords.is_outdated(user.password_hash):
        user.password_hash = await passwords.hashed(password)
    return await refresh_tokens.begin(session, user)


async def authenticate(
    session: AsyncSession, redis: Redis, settings: Settings, email: str, password: SecretStr
) -> User | None:
    """Return the user of ``email``, with the row locked, or None. A wrong password counts as an attempt.

    Raises :class:`src.accounts.attempts.AccountLocked`.
    """
    user = await attempts.count(session, email)
    # An attempt counts whatever the response will be.
    await commit_despite_refusal(session)
    if user is None:
        # Nobody learns from the answer, or from how long it takes, that there is no such account.
        await attempts.count_unknown(redis, settings.redis_key_prefix, email)
        await passwords.is_right(password, None)
        return None
    seen = user.password_hash
    if not await passwords.is_right(password, seen):
        if user.locked_until:
            logger.warning("Too many wrong passwords: user %s is locked until %s", user.id, user.locked_until)
        return None
    user = await users.lock(session, user.id)
    # It may have been changed since it was seen.
    if user is None or (
        user.password_hash != seen and not await passwords.is_right(password, user.password_hash)
    ):
        return None
    attempts.reset(user)
    return user


async def _mail_verification_again(
    session: AsyncSession, rate_limiter: RateLimiter, settings: Settings, user: User
) -> None:
    """An expired link locks nobody out, and nobody's mailbox can be filled this way."""
    try:
        mail.require_transport(settings)
        await rate_limiter.check("verification-mail", "5/hour", str(user.id))
    except (mail.MailUnavailable, RateLimited):
        logger.info("No further verification mail for user %s now", user.id)
        await commit_despite_refusal(session)
        return
    token = await mailed_tokens.issue(session, user, Purpose.VERIFY_EMAIL)
    await commit_before_mail(session)
    await mail.send(settings, mail.verification(user.email, token))
