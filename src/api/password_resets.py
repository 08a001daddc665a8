"""A new password for whoever reads the account's mail."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Depends, Path

from src.accounts import attempts, mail, mailed_tokens, passwords, refresh_tokens, users
from src.accounts.addresses import EmailAddress
from src.accounts.passwords import NewPassword
from src.api.dependencies import RateLimiterDependency, SessionDependency, StateDependency
from src.api.schemas import Message, RequestSchema, Schema
from src.api.state import AppState
from src.core.web.problems import Problem, responses
from src.core.web.rate_limits import limit
from src.models.account import Purpose

router = APIRouter(prefix="/password-resets", tags=["password resets"])

Token = Annotated[str, Path(min_length=1, max_length=200, description="Of the mailed link.")]


class ResetRequest(RequestSchema):
    email: EmailAddress


class Reset(Schema):
    expires_at: datetime


class Replacement(RequestSchema):
    new_password: NewPassword


class NoSuchReset(Problem):
    def __init__(self) -> None:
        super().__init__(404, "no-such-reset", "This link was used or has expired. Ask for a new one.")


@router.post(
    "",
    summary="Request a password reset",
    status_code=202,
    dependencies=[Depends(limit("password-reset", "30/hour"))],
    responses=responses(429, 503),
)
async def request_reset(
    body: ResetRequest,
    background: BackgroundTasks,
    session: SessionDependency,
    state: StateDependency,
    rate_limiter: RateLimiterDependency,
) -> Message:
    """Mail a link to set a new password, if the address has an account. A link works once, within an hour.

    **Next:** open the link: its page asks for the new password. Programs send it with the token in the link.
    Outside production, the link is also in the app's log.

    The response, and the time it takes, are the same if the address has no account. 503 means that mail
    cannot be sent.
    """
    mail.require_transport(state.settings)
    await rate_limiter.check("password-reset-address", "5/hour", body.email)
    # All that depends on the address comes after the answer. That the database answers is asked now, so that
    # nobody waits for a mail that cannot come.
    await session.connection()
    background.add_task(_mail_link, state, body.email)
    return Message(message="If this address has an account, a link to choose a new password is on its way.")


async def _mail_link(state: AppState, email: str) -> None:
    async with state.sessions.begin() as session:
        user = await users.by_email(session, email)
        if user is None or not user.is_active:
            return
        token = await mailed_tokens.issue(session, user, Purpose.RESET_PASSWORD)
    await mail.send(state.settings, mail.password_reset(email, token))


_LIMITED = [Depends(limit("password-reset-token", "30/minute"))]


@router.get(
    "/{token}", summary="Check a password reset link", dependencies=_LIMITED, responses=responses(404, 429)
)
async def read_reset(token: Token, session: SessionDependency) -> Reset:
    """Tell whether a link still works, before a person is asked for a new password."""
    found = await mailed_tokens.find(session, token, Purpose.RESET_PASSWORD)
    if found is None:
        raise NoSuchReset
    return Reset(expires_at=found.expires_at)


@router.patch("/{token}", summary="Reset the password", dependencies=_LIMITED, responses=responses(404, 429))
async def reset_password(token: Token, body: Replacement, session: SessionDependency) -> Message:
    """Set a new password with the token of a mailed link.

    This ends all logins, unlocks the account, and verifies the address, because its mail was read.
    """
    if await mailed_tokens.find(session, token, Purpose.RESET_PASSWORD) is None:
        raise NoSuchReset
    password_hash = await passwords.hashed(body.new_password)
    user = await mailed_tokens.use(session, token, Purpose.RESET_PASSWORD)
    if user is None or not user.is_active:
        raise NoSuchReset
    user.password_hash = password_hash
    user.email_verified_at = user.email_verified_at or datetime.now(UTC)
    attempts.reset(user)
    await refresh_tokens.revoke_all(session, user)
    return Message(message="The password is changed. Log in with the new one.")
