"""Accounts: register, log in, stay logged in, log out."""

import logging
from datetime import UTC, datetime

from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession

from src.accounts import access_tokens, attempts, mail, mailed_tokens, passwords, refresh_tokens, users
from src.accounts.addresses import is_on_the_internet
from src.accounts.refresh_tokens import Issued
from src.api.account_bodies import (
    Credentials,
    Profile,
    ProfileChanges,
    RefreshTokenBody,
    Registration,
    Tokens,
    Verification,
)
from src.api.dependencies import AccessDependency, CurrentUser, SessionDependency, SettingsDependency
from src.core.config import Settings
from src.core.web.problems import Problem, responses
from src.core.web.rate_limits import RateLimited, check, limit
from src.models import User
from src.models.account import Purpose

NO_MAIL = "mail cannot be sent to this domain"

logger = logging.getLogger(__name__)

router = APIRouter(prefix="/auth", tags=["auth"])


@router.post(
    "/register",
    status_code=201,
    dependencies=[Depends(limit("register", "30/hour"))],
    responses=responses(409, 429, 503),
)
async def register(body: Registration, session: SessionDependency, settings: SettingsDependency) -> Profile:
    """Make an account and mail the link that verifies its address.

    An address that has an account, verified or not, is a 409: its owner logs in, which mails a new link where
    that is needed, or resets the password. 503 where mail cannot be sent.
    """
    if settings.environment == "production" and not is_on_the_internet(body.email):
        raise RequestValidationError([{"type": "value_error", "loc": ("body", "email"), "msg": NO_MAIL}])
    mail.require_transport(settings)
    password_hash = await passwords.hashed(body.password)
    user = await users.add(session, body.email, password_hash, body.name)
    if user is None:
        raise Problem(409, "address-taken", "This address has an account. Log in, or reset the password.")
    token = await mailed_tokens.issue(session, user, Purpose.VERIFY_EMAIL)
    await session.commit()
    mail.send(settings, mail.verification(user.email, token))
    return Profile.model_validate(user)


@router.post(
    "/verify-email",
    status_code=204,
    dependencies=[Depends(limit("verify-email", "30/minute"))],
    responses=responses(400, 429),
)
async def verify_email(body: Verification, session: SessionDependency) -> None:
    """Verify an address with the token of the mailed link, which is good once and for 24 hours."""
    user = await mailed_tokens.use(session, body.token.get_secret_value(), Purpose.VERIFY_EMAIL)
    if user is None:
        raise Problem(
            400,
            "invalid-link",
            "This link was used or has expired. Log in, and a new one is mailed if needed.",
        )
    user.email_verified_at = datetime.now(UTC)
    await session.commit()


@router.post(
    "/login",
    dependencies=[Depends(limit("login", "30/minute"))],
    responses=responses(401, 403, 423, 429),
)
async def login(
    body: Credentials,
    request: Request,
    response: Response,
    session: SessionDependency,
    settings: SettingsDependency,
) -> Tokens:
    """Exchange address and password for tokens.

    Ten wrong passwords lock the account for an hour (423). An address that is not verified is a 403, and is
    mailed a new link.
    """
    user = await _authenticate(request, session, body.email, body.password)
    if user is None:
        raise Problem(
            401,
            "wrong-credentials",
            "Address or password is wrong.",
            headers={"WWW-Authenticate": "Bearer"},
        )
    if not user.is_active:
        await session.commit()
        raise Problem(403, "account-inactive", "This account was deactivated.")
    if user.email_verified_at is None:
        await _mail_verification_again(request, session, settings, user)
        raise Problem(
            403, "email-not-verified", "Follow the link that was mailed to this address, then log in again."
        )
    user.last_login_at = datetime.now(UTC)
    if passwords.is_outdated(user.password_hash):
        user.password_hash = await passwords.hashed(body.password)
    issued = await refresh_tokens.begin(session, user)
    await session.commit()
    return _tokens(issued, settings, response)


async def _authenticate(
    request: Request, session: AsyncSession, email: str, password: SecretStr
) -> User | None:
    """Return the user of ``email``, with the row locked, or None. A wrong password counts as an attempt."""
    user = await attempts.count(session, email)
    await session.commit()
    if user is None:
        # Nobody learns from the answer, or from how long it takes, that there is no such account.
        state = request.app.state
        await attempts.count_unknown(state.redis, state.settings.redis_key_prefix, email)
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
    request: Request, session: AsyncSession, settings: Settings, user: User
) -> None:
    """An expired link locks nobody out, and nobody's mailbox can be filled this way."""
    token = None
    try:
        mail.require_transport(settings)
        await check(request, "verification-mail", "5/hour", str(user.id))
        token = await mailed_tokens.issue(session, user, Purpose.VERIFY_EMAIL)
    except (mail.MailUnavailable, RateLimited):
        logger.info("No further verification mail for user %s now", user.id)
    await session.commit()
    if token:
        mail.send(settings, mail.verification(user.email, token))


@router.post(
    "/refresh",
    dependencies=[Depends(limit("refresh", "60/minute"))],
    responses=responses(401, 429),
)
async def refresh(
    body: RefreshTokenBody, response: Response, session: SessionDependency, settings: SettingsDependency
) -> Tokens:
    """Exchange a refresh token, good once and for 30 days, for a new pair.

    One that comes a second time was copied: it and all that came of the same login end.
    """
    issued = await refresh_tokens.rotate(session, body.refresh_token.get_secret_value())
    await session.commit()
    if issued is None:
        raise Problem(
            401,
            "invalid-refresh-token",
            "The refresh token was used or has ended. Log in again.",
            headers={"WWW-Authenticate": "Bearer"},
        )
    return _tokens(issued, settings, response)


@router.post("/logout", status_code=204)
async def logout(body: RefreshTokenBody, session: SessionDependency) -> None:
    """End the login that a refresh token came of. An unknown one has nothing to end (RFC 7009, 2.2)."""
    await refresh_tokens.revoke_family(session, body.refresh_token.get_secret_value())
    await session.commit()


@router.get("/me", responses=responses(401))
async def read_me(user: CurrentUser) -> Profile:
    return Profile.model_validate(user)


@router.patch("/me", responses=responses(401, 403, 423, 429))
async def change_me(
    changes: ProfileChanges,
    request: Request,
    user: CurrentUser,
    access: AccessDependency,
    session: SessionDependency,
) -> Profile:
    """Change the name, the password or both.

    A new password needs the current one, whose failures count as a login's, and ends all other logins.
    """
    if changes.password and changes.current_password:
        password_hash = await passwords.hashed(changes.password)
        if not await _authenticate(request, session, user.email, changes.current_password):
            raise Problem(403, "wrong-password", "current_password is wrong; nothing was changed.")
        user.password_hash = password_hash
        await refresh_tokens.revoke_all(session, user, except_family=access.family_id)
        await mailed_tokens.end(session, user, Purpose.RESET_PASSWORD)
    if changes.name:
        user.name = changes.name
    await session.commit()
    return Profile.model_validate(user)


def _tokens(issued: Issued, settings: Settings, response: Response) -> Tokens:
    response.headers["Cache-Control"] = "no-store"  # RFC 6749, 5.1
    access_token = access_tokens.issue(issued.user_id, settings.secret_key, issued.family_id)
    return Tokens(access_token=access_token, refresh_token=issued.token)
