"""Mail by SMTP, to a real server over the environment's own TLS."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

import httpx
import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from src.accounts import mail, smtp
from src.core.config import Settings
from src.models import User
from tests.factories import PASSWORD

REGISTRATION = {"email": "ann@example.org", "password": PASSWORD, "name": "Ann"}
REGISTER = "/api/v1/auth/register"
SMTP_PASSWORD = "Po5tman-knocks-twice"


class Post:
    """A server that keeps what it takes, and how it came."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.encrypted: list[bool] = []
        self.recipients: list[list[str]] = []
        self.names: list[str] = []
        self.logins: list[str] = []
        self.answer = "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        assert server.transport is not None
        self.encrypted.append(server.transport.get_extra_info("ssl_object") is not None)
        self.recipients.append(envelope.rcpt_tos)
        self.names.append(str(session.host_name))
        if self.answer.startswith("250"):
            self.mails.append(message_from_bytes(envelope.content, _class=EmailMessage, policy=default))
        return self.answer

    def authenticate(
        self, server: Any, session: Any, envelope: Any, mechanism: str, given: Any
    ) -> AuthResult:
        assert isinstance(given, LoginPassword)
        self.logins.append(given.login.decode())
        return AuthResult(success=given.password.decode() == SMTP_PASSWORD, handled=False)


Serve = Callable[..., AbstractAsyncContextManager[dict[str, Any]]]


@pytest.fixture
def post() -> Post:
    return Post()


@pytest.fixture
def serve(app_settings: Settings, post: Post) -> Serve:
    """Serves ``post``; what an app that sends by it has in its settings."""

    @asynccontextmanager
    async def serve(security: str = "starttls", **options: Any) -> AsyncIterator[dict[str, Any]]:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(app_settings.tls_cert_file, app_settings.tls_key_file)
        options |= {"tls_context": context} if security == "starttls" else {}
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: SMTP(post, loop=loop, hostname="localhost", **options),
            "127.0.0.1",
            0,
            ssl=context if security == "tls" else None,
        )
        yield {
            "smtp_host": "localhost",
            "smtp_port": server.sockets[0].getsockname()[1],
            "smtp_security": security,
            "mail_from": "Dashtam <no-reply@example.org>",
        }
        server.close()

    return serve


def configured(app: FastAPI, **changes: Any) -> None:
    app.state.settings = app.state.settings.model_copy(update=changes)


@pytest.mark.parametrize("security", ["starttls", "tls", "none"])
async def test_a_registration_mails_a_link(
    app: FastAPI, client: httpx.AsyncClient, serve: Serve, post: Post, security: str
) -> None:
    async with serve(security) as settings:
        configured(app, **settings)
        assert (await client.post(REGISTER, json=REGISTRATION)).status_code == 201
    (received,) = post.mails
    assert post.encrypted == [security != "none"]
    assert post.recipients == [["ann@example.org"]]
    assert post.names == ["example.org"]
    assert (received["From"], received["To"]) == ("Dashtam <no-reply@example.org>", "ann@example.org")
    assert received["Subject"] == "Confirm your address"
    assert received["Auto-Submitted"] == "auto-generated"
    assert str(received["Message-ID"]).endswith("@example.org>")
    assert f"\n{app.state.settings.public_url}/verify-email?token=" in received.get_content()


async def test_production_registers_people_once_mail_is_configured(
    app: FastAPI, client: httpx.AsyncClient, serve: Serve, post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    configured(app, environment="production")
    assert (await client.post(REGISTER, json=REGISTRATION)).status_code == 503
    async with serve() as settings:
        configured(app, **settings)
        assert (await client.post(REGISTER, json=REGISTRATION)).status_code == 201
    assert len(post.mails) == 1
    # The link is for the mailbox alone.
    assert "token=" not in caplog.text


async def test_a_reset_is_mailed(
    app: FastAPI, client: httpx.AsyncClient, serve: Serve, post: Post, user: User
) -> None:
    async with serve() as settings:
        configured(app, **settings)
        assert (await client.post("/api/v1/password-resets/", json={"email": user.email})).status_code == 202
    assert "/reset-password?token=" in post.mails[0].get_content()


async def test_a_mail_goes_to_one_recipient_whatever_its_header_is_decoded_to(
    app: FastAPI, serve: Serve, post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    """Such addresses are refused; should one come this far, nobody else gets the mail."""
    async with serve("none") as settings:
        configured(app, **settings)
        for address in (
            "=?us-ascii?q?eve=40example.com=2c?=x@example.org",
            "=?us-ascii?q?a=0d=0ab?=@example.org",
        ):
            await mail.send(app.state.settings, mail.verification(address, "t"))
    # This server takes neither; it would take eve@example.com.
    assert post.recipients == []
    assert caplog.text.count("did not take a mail") == 2


@pytest.mark.parametrize("password", [SMTP_PASSWORD, "wrong"])
async def test_the_server_may_want_a_login(
    app: FastAPI, serve: Serve, post: Post, caplog: pytest.LogCaptureFixture, password: str
) -> None:
    options = {"authenticator": post.authenticate, "auth_required": True}
    async with serve(**options) as settings:
        configured(app, **settings, smtp_user="dashtam", smtp_password=SecretStr(password))
        await mail.send(app.state.settings, mail.verification("ann@example.org", "t"))
    assert set(post.logins) == {"dashtam"}
    assert len(post.mails) == (password == SMTP_PASSWORD)
    assert ("did not take a mail" in caplog.text) is (password != SMTP_PASSWORD)


@pytest.mark.parametrize("case", ["no tls", "unknown ca", "other name", "refused", "nobody", "silent"])
async def test_what_the_server_does_not_take_is_logged_and_nobody_is_held_up(
    app: FastAPI,
    client: httpx.AsyncClient,
    serve: Serve,
    post: Post,
    session: AsyncSession,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    case: str,
) -> None:
    async with serve("none" if case == "no tls" else "starttls") as settings:
        by_case: dict[str, dict[str, Any]] = {
            "no tls": {"smtp_security": "starttls"},
            "unknown ca": {"tls_ca_file": None},
            "other name": {"smtp_host": "127.0.0.2"},
            "nobody": {"smtp_port": 1},
        }
        post.answer = "550 no" if case == "refused" else "250 OK"
        if case == "silent":
            monkeypatch.setattr(smtp, "TIMEOUT", 0.5)

            async def never(*_: Any) -> str:
                await asyncio.sleep(3)
                return "250 OK"

            monkeypatch.setattr(post, "handle_DATA", never)
        configured(app, **(settings | by_case.get(case, {})))
        response = await client.post(REGISTER, json=REGISTRATION)
    assert response.status_code == 201, response.text
    assert post.mails == []
    (line,) = [each for each in caplog.records if each.name == "src.accounts.smtp"]
    assert "did not take a mail" in line.getMessage()
    assert "token=" not in line.getMessage()
    # A login mails another one.
    assert await session.scalar(select(func.count()).select_from(User)) == 1
