"""A new password for whoever reads the account's mail."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Depends, Path, Request
from pydantic import BaseModel, ConfigDict

from src.accounts import attempts, mail, mailed_tokens, passwords, refresh_tokens, users
from src.accounts.addresses import EmailAddress
from src.accounts.passwords import NewPassword
from src.api.dependencies import SessionDependency, SettingsDependency
from src.core.web.problems import Problem, responses
from src.core.web.rate_limits import check, limit
from src.models.account import Purpose

router = APIRouter(prefix="/password-resets", tags=["password resets"])

Token = Annotated[str, Path(min_length=1, max_length=200, description="Of the mailed link.")]


class ResetRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    email: EmailAddress


class ResetAccepted(BaseModel):
    message: str = "If this address has an account, a link to choose a new password is on its way."


class Reset(BaseModel):
    expires_at: datetime


class Replacement(BaseModel):
    model_config = ConfigDict(extra="forbid")

    password: NewPassword


class NoSuchReset(Problem):
    def __init__(self) -> None:
        super().__init__(404, "no-such-reset", "This link was used or has expired. Ask for a new one.")


@router.post(
    "/",
    status_code=202,
    dependencies=[Depends(limit("password-reset", "30/hour"))],
    responses=responses(429, 503),
)
async def request_reset(
    body: ResetRequest,
    request: Request,
    background: BackgroundTasks,
    session: SessionDependency,
    settings: SettingsDependency,
) -> ResetAccepted:
    """Mail a link, good once and for an hour, if the address has an account.

    The answer, and the time it takes, are the same if it has none. 503 where mail cannot be sent.
    """
    mail.require_transport(settings)
    await check(request, "password-reset-address", "5/hour", body.email)
    # All that depends on the address comes after the answer. That the database answers is asked now, so that
    # nobody waits for a mail that cannot come.
    await session.connection()
    await session.close()
    background.add_task(_mail_link, request, body.email)
    return ResetAccepted()


async def _mail_link(request: Request, email: str) -> None:
    async with request.app.state.sessions() as session:
        user = await users.by_email(session, email)
        if user is None or not user.is_active:
            return
        token = await mailed_tokens.issue(session, user, Purpose.RESET_PASSWORD)
        await session.commit()
    mail.send(request.app.state.settings, mail.password_reset(email, token))


_LIMITED = [Depends(limit("password-reset-token", "30/minute"))]


@router.get("/{token}", dependencies=_LIMITED, responses=responses(404, 429))
async def read_reset(token: Token, session: SessionDependency) -> Reset:
    """Whether a link is still good, before a new password is asked for."""
    found = await mailed_tokens.find(session, token, Purpose.RESET_PASSWORD)
    if found is None:
        raise NoSuchReset
    return Reset(expires_at=found.expires_at)


@router.patch("/{token}", status_code=204, dependencies=_LIMITED, responses=responses(404, 429))
async def reset_password(token: Token, body: Replacement, session: SessionDependency) -> None:
    """Set a new password. All logins end, a lock is lifted, the address is verified: its mail was read."""
    if await mailed_tokens.find(session, token, Purpose.RESET_PASSWORD) is None:
        raise NoSuchReset
    password_hash = await passwords.hashed(body.password)
    user = await mailed_tokens.use(session, token, Purpose.RESET_PASSWORD)
    if user is None or not user.is_active:
        raise NoSuchReset
    user.password_hash = password_hash
    user.email_verified_at = user.email_verified_at or datetime.now(UTC)
    attempts.reset(user)
    await refresh_tokens.revoke_all(session, user)
    await session.commit()
