"""The pages that mailed links lead to: no part of the documented API.

A link that is followed changes nothing, for programs follow links in mails, too. A person presses a button,
which sends the token in a form. Nothing else says who they are, so that another site has nothing to forge a
request with. Afterwards the browser is sent back to the link, which says what has become of it, as often as
it is loaded.
"""

import html
import logging
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, cast
from urllib.parse import quote

from fastapi import APIRouter, Depends, FastAPI, Form, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from src.accounts import mailed_tokens, passwords
from src.api import auth, password_resets
from src.api.account_bodies import Verification
from src.api.dependencies import SessionDependency, SettingsDependency
from src.core.config import Settings
from src.core.web.pages import headers, page
from src.core.web.problems import Problem, is_unavailable
from src.core.web.rate_limits import RateLimited, limit
from src.models import User
from src.models.account import Purpose

logger = logging.getLogger(__name__)

VERIFY, RESET = "/verify-email", "/reset-password"
NO_LONGER_VALID = "This link is no longer valid"
NEW_LINK = {
    VERIFY: "It has expired, or is incomplete. Log in to Dashtam, and a new link is mailed to you.",
    RESET: "It was used, has expired, or is incomplete. Ask Dashtam for a new one.",
}
# Whoever typed a password into a page that was still open must not take it for the account's.
ALREADY_USED = (
    "Your password was not changed now. Log in with the one that you chose before, or ask Dashtam for a new "
    "link."
)


class PageInstead(Exception):
    """What went wrong, as the page that says so. Being an exception, it rolls the request's session back."""

    def __init__(
        self, title: str, text: str, status: int, more_headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(f"{status} {title}")
        self.page = page(title, f"<p>{text}</p>", status, mark="bad", more_headers=more_headers)


class PageRoute(APIRoute):
    """Answers whatever goes wrong with a page as well."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except PageInstead:
                raise
            except Exception as error:
                if (instead := _instead(error, self.path)) is None:
                    raise
                raise instead from error

        return answer


def _instead(error: Exception, path: str) -> PageInstead | None:
    """Return the page to show for ``error``; none for a fault of ours, which is answered as any other."""
    if isinstance(error, RateLimited):
        text = f"Wait {error.retry_after} seconds, then try again."
        return PageInstead("Too many attempts", text, 429, error.headers)
    if isinstance(error, RequestValidationError):
        return PageInstead(NO_LONGER_VALID, NEW_LINK[path], 422)
    if isinstance(error, Problem | HTTPException):
        status = error.status if isinstance(error, Problem) else error.status_code
        return PageInstead(NO_LONGER_VALID, NEW_LINK[path], status)
    if is_unavailable(error):
        logger.warning("A service does not answer: %s: %s", type(error).__name__, error)
        text = "Load this page again in a moment. Your link remains valid."
        return PageInstead("Dashtam does not answer", text, 503, {"Retry-After": "5"})
    return None


async def _page(request: Request, error: Exception) -> Response:
    return cast(PageInstead, error).page


def install(app: FastAPI) -> None:
    """Add the pages to ``app``."""
    app.add_exception_handler(PageInstead, _page)
    app.include_router(router)


router = APIRouter(include_in_schema=False, route_class=PageRoute)

# As :data:`src.accounts.secret_tokens.SecretToken`.
InLink = Annotated[str, Query(alias="token", min_length=1, max_length=200)]
InForm = Annotated[str, Form(alias="token", min_length=1, max_length=200)]


async def _owner(session: AsyncSession, token: str, purpose: Purpose) -> User | None:
    found = await mailed_tokens.find(session, token, purpose)
    return None if found is None else await session.get(User, found.user_id)


def _back(path: str, token: str) -> Response:
    # 303 makes a GET of it; what the browser loads again is that.
    return RedirectResponse(f"{path}?token={quote(token, safe='')}", 303, headers())


def _form(path: str, token: str, fields: str, button: str) -> str:
    return (
        f'<form method="post" action="{path}">\n'
        f'<input type="hidden" name="token" value="{html.escape(token)}">\n{fields}'
        f'<div class="buttons"><button class="first">{button}</button></div>\n</form>'
    )


def _done(title: str, text: str, settings: Settings) -> Response:
    docs = '\n<p><a href="/docs">Go to Dashtam\'s API page</a></p>'
    return page(title, f"<p>{text}</p>{'' if settings.environment == 'production' else docs}", mark="good")


@router.get(VERIFY, dependencies=[Depends(limit("verify-email", "30/minute"))])
async def ask_to_verify(token: InLink, session: SessionDependency, settings: SettingsDependency) -> Response:
    if user := await _owner(session, token, Purpose.VERIFY_EMAIL):
        text = f"<p>You registered <strong>{html.escape(user.email)}</strong> with Dashtam.</p>\n"
        return page(
            "Confirm your address",
            text + _form(VERIFY, token, "", "Confirm this address"),
            form_action="'self'",
        )
    if await mailed_tokens.was_used(session, token, Purpose.VERIFY_EMAIL):
        return _done("Your address is confirmed", "You can log in to Dashtam now.", settings)
    raise PageInstead(NO_LONGER_VALID, NEW_LINK[VERIFY], 404)


@router.post(VERIFY, dependencies=[Depends(limit("verify-email", "30/minute"))])
async def verify(token: InForm, session: SessionDependency) -> Response:
    if not await mailed_tokens.was_used(session, token, Purpose.VERIFY_EMAIL):
        await auth.verify_email(Verification.model_validate({"token": token}), session)
    return _back(VERIFY, token)


@router.get(RESET, dependencies=[Depends(limit("password-reset-token", "30/minute"))])
async def ask_for_password(
    token: InLink, session: SessionDependency, settings: SettingsDependency
) -> Response:
    if user := await _owner(session, token, Purpose.RESET_PASSWORD):
        return _password_form(token, user)
    if await mailed_tokens.was_used(session, token, Purpose.RESET_PASSWORD):
        return _done("Your password was changed", "Log in to Dashtam with the new one.", settings)
    raise PageInstead(NO_LONGER_VALID, NEW_LINK[RESET], 404)


@router.post(RESET, dependencies=[Depends(limit("password-reset-token", "30/minute"))])
async def reset(token: InForm, session: SessionDependency, password: Annotated[str, Form()] = "") -> Response:
    user = await _owner(session, token, Purpose.RESET_PASSWORD)
    if user is not None:
        try:
            body = password_resets.Replacement.model_validate({"new_password": password})
        except ValidationError as error:
            return _password_form(token, user, _wrong(error))
        await password_resets.reset_password(token, body, session)
        return _back(RESET, token)
    if await mailed_tokens.was_used(session, token, Purpose.RESET_PASSWORD):
        raise PageInstead("This link was already used", ALREADY_USED, 409)
    raise password_resets.NoSuchReset


def _wrong(error: ValidationError) -> str:
    """What a new password lacks, without the password."""
    problem = error.errors(include_input=False)[0]
    lengths = {
        "too_short": f"must have at least {passwords.MIN_LENGTH} characters",
        "too_long": f"may have at most {passwords.MAX_LENGTH} characters",
    }
    return f"It {lengths.get(problem['type'], problem['msg'].removeprefix('Value error, '))}."


def _password_form(token: str, user: User, wrong: str = "") -> Response:
    """The form, again with what is ``wrong`` with the password that was given, which is not repeated."""
    address = html.escape(user.email)
    invalid = ' aria-invalid="true"' if wrong else ""
    error = (
        f'<p class="bad" id="wrong" role="alert">The password was not accepted. {html.escape(wrong)}</p>\n'
    )
    fields = (
        # For password managers, which otherwise store a password without its account.
        f'<input type="text" autocomplete="username" value="{address}" hidden>\n'
        '<label for="password">New password</label>\n'
        '<input type="password" id="password" name="password" autocomplete="new-password" required autofocus '
        f'minlength="{passwords.MIN_LENGTH}" maxlength="{passwords.MAX_LENGTH}"{invalid} '
        f'aria-describedby="{"wrong " if wrong else ""}rules">\n'
        f'<p class="hint" id="rules">At least {passwords.MIN_LENGTH} characters, with an upper-case letter, '
        "a lower-case letter, a digit and a special character. Common passwords are refused. "
        "All devices are logged out.</p>\n"
    )
    body = f"<p>For the account <strong>{address}</strong></p>\n{error if wrong else ''}"
    return page(
        "Choose a new password",
        body + _form(RESET, token, fields, "Change the password"),
        422 if wrong else 200,
        form_action="'self'",
    )
