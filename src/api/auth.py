"""Accounts: register, log in, stay logged in, log out."""

from datetime import UTC, datetime

from fastapi import APIRouter, Depends, Response
from fastapi.exceptions import RequestValidationError

from src.accounts import access_tokens, login, mail, mailed_tokens, passwords, refresh_tokens, users
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
from src.api.dependencies import (
    AccessDependency,
    CurrentUser,
    RateLimiterDependency,
    RedisDependency,
    SessionDependency,
    SettingsDependency,
)
from src.api.schemas import Message
from src.core.commits import commit_before_mail, commit_despite_refusal
from src.core.config import Settings
from src.core.web.problems import Problem, responses
from src.core.web.rate_limits import limit
from src.models.account import Purpose

NO_MAIL = "mail cannot be sent to this domain"

router = APIRouter(prefix="/auth", tags=["auth"])


@router.post(
    "/register",
    summary="Register an account",
    status_code=201,
    dependencies=[Depends(limit("register", "30/hour"))],
    responses=responses(409, 429, 503),
)
async def register(body: Registration, session: SessionDependency, settings: SettingsDependency) -> Profile:
    """Create an account and mail a link that verifies its address.

    **Next:** open the link: its page verifies the address. Programs send its token to `verify-email`.
    Outside production, the link is also in the app's log.

    If the address already has an account, the response is 409. Its owner can log in, or reset the password.
    503 means that mail cannot be sent.
    """
    if settings.environment == "production" and not is_on_the_internet(body.email):
        raise RequestValidationError([{"type": "value_error", "loc": ("body", "email"), "msg": NO_MAIL}])
    mail.require_transport(settings)
    password_hash = await passwords.hashed(body.password)
    user = await users.add(session, body.email, password_hash, body.name)
    if user is None:
        raise Problem(409, "address-taken", "This address has an account. Log in, or reset the password.")
    token = await mailed_tokens.issue(session, user, Purpose.VERIFY_EMAIL)
    await commit_before_mail(session)
    await mail.send(settings, mail.verification(user.email, token))
    return Profile.model_validate(user)


@router.post(
    "/verify-email",
    summary="Verify an e-mail address",
    dependencies=[Depends(limit("verify-email", "30/minute"))],
    responses=responses(400, 429),
)
async def verify_email(body: Verification, session: SessionDependency) -> Message:
    """Verify the address of an account with the `token` in the mailed link. A link works once, within 24
    hours.

    **Next:** log in.
    """
    user = await mailed_tokens.use(session, body.token.get_secret_value(), Purpose.VERIFY_EMAIL)
    if user is None:
        raise Problem(
            400,
            "invalid-link",
            "This link was used or has expired. Log in, and a new one is mailed if needed.",
        )
    user.email_verified_at = datetime.now(UTC)
    return Message(message="The address is verified. You can log in.")


@router.post(
    "/login",
    summary="Log in",
    dependencies=[Depends(limit("login", "30/minute"))],
    responses=responses(401, 403, 423, 429),
)
async def log_in(
    body: Credentials,
    response: Response,
    session: SessionDependency,
    redis: RedisDependency,
    rate_limiter: RateLimiterDependency,
    settings: SettingsDependency,
) -> Tokens:
    """Exchange address and password for an access token and a refresh token.

    **Next:** send the access token with every request: `Authorization: Bearer <access_token>`. On this page,
    paste it into the dialog of the **Authorize** button.

    Ten wrong passwords lock the account for an hour (423). If the address is not verified, the response is
    403 and a new link is mailed.
    """
    issued = await login.log_in(session, redis, rate_limiter, settings, body.email, body.password)
    return _tokens(issued, settings, response)


@router.post(
    "/refresh",
    summary="Get new tokens",
    dependencies=[Depends(limit("refresh", "60/minute"))],
    responses=responses(401, 429),
)
async def refresh(
    body: RefreshTokenBody, response: Response, session: SessionDependency, settings: SettingsDependency
) -> Tokens:
    """Exchange a refresh token for a new access token and a new refresh token. It works once, within 30 days.

    A refresh token that is used a second time was probably copied, so its login ends: all its tokens are
    revoked.
    """
    issued = await refresh_tokens.rotate(session, body.refresh_token.get_secret_value())
    if issued is None:
        await commit_despite_refusal(session)
        raise Problem(
            401,
            "invalid-refresh-token",
            "The refresh token was used or has ended. Log in again.",
            headers={"WWW-Authenticate": "Bearer"},
        )
    return _tokens(issued, settings, response)


@router.post("/logout", summary="Log out")
async def logout(body: RefreshTokenBody, session: SessionDependency) -> Message:
    """End the login that a refresh token belongs to, with all its tokens.

    An unknown or expired token gets the same response, because it has nothing to end (RFC 7009, 2.2).
    """
    await refresh_tokens.revoke_family(session, body.refresh_token.get_secret_value())
    return Message(message="You are logged out.")


@router.get("/me", summary="Get your account", responses=responses(401))
async def read_me(user: CurrentUser) -> Profile:
    """The account that the access token belongs to."""
    return Profile.model_validate(user)


@router.patch("/me", summary="Change your account", responses=responses(401, 403, 423, 429))
async def change_me(
    changes: ProfileChanges,
    user: CurrentUser,
    access: AccessDependency,
    session: SessionDependency,
    redis: RedisDependency,
    settings: SettingsDependency,
) -> Profile:
    """Change the name, the password, or both. Omitted fields keep their values.

    A new password requires `current_password`, and ends all other logins. Wrong passwords count as they do at
    login.
    """
    if changes.password and changes.current_password:
        password_hash = await passwords.hashed(changes.password)
        if not await login.authenticate(session, redis, settings, user.email, changes.current_password):
            raise Problem(403, "wrong-password", "current_password is wrong; nothing was changed.")
        user.password_hash = password_hash
        await refresh_tokens.revoke_all(session, user, except_family=access.family_id)
        await mailed_tokens.end(session, user, Purpose.RESET_PASSWORD)
    if changes.name:
        user.name = changes.name
    return Profile.model_validate(user)


def _tokens(issued: Issued, settings: Settings, response: Response) -> Tokens:
    response.headers["Cache-Control"] = "no-store"  # RFC 6749, 5.1
    access_token = access_tokens.issue(issued.user_id, settings.secret_key, issued.family_id)
    return Tokens(access_token=access_token, refresh_token=issued.token)
