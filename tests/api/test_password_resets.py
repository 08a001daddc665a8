"""A new password by mail: each rule by itself."""

import logging
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from src.accounts.attempts import LIMIT
from src.core.config import Settings
from src.core.database import create_engine, create_sessions
from src.models import MailedToken, User
from tests import factories
from tests.api.conftest import ReceivedMail
from tests.factories import PASSWORD

RESETS = "/api/v1/password-resets/"
NEW_PASSWORD = "Battery-staple-8"

Mails = list[ReceivedMail]


def problem(response: httpx.Response) -> tuple[int, str]:
    assert response.headers["Content-Type"] == "application/problem+json"
    return response.status_code, response.json()["type"].removeprefix("urn:dashtam:problem:")


async def log_in(client: httpx.AsyncClient, user: User, password: str) -> httpx.Response:
    return await client.post("/api/v1/auth/login", json={"email": user.email, "password": password})


async def ask(client: httpx.AsyncClient, email: str) -> httpx.Response:
    return await client.post(RESETS, json={"email": email})


async def replace(client: httpx.AsyncClient, token: str, password: str = NEW_PASSWORD) -> httpx.Response:
    return await client.patch(f"{RESETS}{token}", json={"new_password": password})


@pytest.fixture
async def token(client: httpx.AsyncClient, user: User, mails: Mails) -> str:
    await ask(client, user.email)
    (mail,) = mails
    return mail.token


class TestAsking:
    async def test_mails_a_link(
        self, client: httpx.AsyncClient, user: User, mails: Mails, app_settings: Settings
    ) -> None:
        assert (await ask(client, "ANN@Example.org")).status_code == 202
        (mail,) = mails
        assert mail.to == user.email
        assert mail.link == f"{app_settings.public_url}/reset-password?token={mail.token}"

    async def test_answers_the_same_for_an_unknown_address(
        self, client: httpx.AsyncClient, user: User, other_user: User, session: AsyncSession, mails: Mails
    ) -> None:
        other_user.is_active = False
        await session.commit()
        addresses = [user.email, "nobody@example.org", other_user.email]
        answers = [await ask(client, address) for address in addresses]
        assert {answer.status_code for answer in answers} == {202}
        assert len({answer.content for answer in answers}) == 1
        names = [{name for name, _ in answer.headers.items()} for answer in answers]
        assert names[0] == names[1] == names[2]
        assert [mail.to for mail in mails] == [user.email]

    async def test_whatever_depends_on_the_address_comes_after_the_answer(
        self, app: FastAPI, user: User, mails: Mails
    ) -> None:
        """So that the time until the answer cannot depend on it either."""
        mailed: list[int] = []

        async def send(message: dict[str, object]) -> None:
            mailed.append(len(mails))

        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": b'{"email": "ann@example.org"}'}

        headers = [(b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": RESETS, "headers": headers, "query_string": b""}
        await app(scope | {"client": ("192.0.2.1", 1), "scheme": "https"}, receive, send)
        assert set(mailed) == {0}
        assert len(mails) == 1

    @pytest.mark.parametrize("email", ["ann@example.org", "nobody@example.org"])
    async def test_an_address_is_asked_for_five_times_an_hour(
        self, client: httpx.AsyncClient, user: User, email: str, mails: Mails
    ) -> None:
        for _ in range(5):
            assert (await ask(client, email)).status_code == 202
        response = await ask(client, email)
        assert problem(response) == (429, "rate-limited")
        assert int(response.headers["Retry-After"]) > 3000
        assert len(mails) == (5 if email == user.email else 0)

    async def test_a_client_asks_thirty_times_an_hour(self, client: httpx.AsyncClient) -> None:
        for number in range(30):
            assert (await ask(client, f"nobody{number}@example.org")).status_code == 202
        assert problem(await ask(client, "nobody@example.org")) == (429, "rate-limited")

    @pytest.mark.parametrize("email", ["", "ann", "ann@example.org\x00", None, "a" * 60_000])
    async def test_what_is_no_address_is_invalid(self, client: httpx.AsyncClient, email: object) -> None:
        response = await client.post(RESETS, json={"email": email})
        assert problem(response) == (422, "invalid-request")

    async def test_without_mail_nothing_is_promised(
        self, app: FastAPI, client: httpx.AsyncClient, user: User, session: AsyncSession
    ) -> None:
        app.state.settings = app.state.settings.model_copy(update={"environment": "production"})
        for email in (user.email, "nobody@example.org"):
            assert problem(await ask(client, email)) == (503, "mail-unavailable")
        assert await session.scalar(select(func.count()).select_from(MailedToken)) == 0

    async def test_without_a_database_nothing_is_promised(
        self, app: FastAPI, client: httpx.AsyncClient, app_settings: Settings
    ) -> None:
        nowhere = SecretStr("postgresql+asyncpg://app:secret@127.0.0.1:1/nowhere")
        engine = create_engine(app_settings.model_copy(update={"app_database_url": nowhere}))
        app.state.sessions = create_sessions(engine)
        assert problem(await ask(client, "nobody@example.org")) == (503, "service-unavailable")
        await engine.dispose()


class TestReset:
    async def test_a_link_can_be_looked_at(self, client: httpx.AsyncClient, token: str) -> None:
        for _ in range(2):
            response = await client.get(f"{RESETS}{token}")
            assert response.status_code == 200
            assert response.json().keys() == {"expires_at"}
            left = datetime.fromisoformat(response.json()["expires_at"]) - datetime.now(UTC)
            assert timedelta(minutes=55) < left <= timedelta(hours=1)

    async def test_replaces_the_password(self, client: httpx.AsyncClient, user: User, token: str) -> None:
        response = await replace(client, token)
        assert (response.status_code, response.json().keys()) == (200, {"message"})
        assert problem(await log_in(client, user, PASSWORD)) == (401, "wrong-credentials")
        assert (await log_in(client, user, NEW_PASSWORD)).status_code == 200

    async def test_works_once(self, client: httpx.AsyncClient, user: User, token: str) -> None:
        await replace(client, token)
        assert problem(await replace(client, token, "Another-one-9")) == (404, "no-such-reset")
        assert problem(await client.get(f"{RESETS}{token}")) == (404, "no-such-reset")
        assert (await log_in(client, user, NEW_PASSWORD)).status_code == 200

    async def test_ends_every_other_link(
        self, client: httpx.AsyncClient, user: User, token: str, mails: Mails
    ) -> None:
        await ask(client, user.email)
        (_, again) = mails
        assert (await replace(client, token)).status_code == 200
        assert problem(await replace(client, again.token)) == (404, "no-such-reset")

    async def test_expires(
        self, client: httpx.AsyncClient, user: User, token: str, session: AsyncSession
    ) -> None:
        await session.execute(update(MailedToken).values(expires_at=datetime.now(UTC)))
        await session.commit()
        assert problem(await client.get(f"{RESETS}{token}")) == (404, "no-such-reset")
        assert problem(await replace(client, token)) == (404, "no-such-reset")
        assert (await log_in(client, user, PASSWORD)).status_code == 200

    async def test_ends_every_access_token(self, client: httpx.AsyncClient, user: User, token: str) -> None:
        credentials = {"email": user.email, "password": PASSWORD}
        access_token = (await client.post("/api/v1/auth/login", json=credentials)).json()["access_token"]
        headers = {"Authorization": f"Bearer {access_token}"}
        assert (await client.get("/api/v1/auth/me", headers=headers)).status_code == 200
        assert (await replace(client, token)).status_code == 200
        assert (await client.get("/api/v1/auth/me", headers=headers)).status_code == 401

    async def test_ends_every_login(self, client: httpx.AsyncClient, user: User, token: str) -> None:
        logins = [(await log_in(client, user, PASSWORD)).json()["refresh_token"] for _ in range(2)]
        await replace(client, token)
        for refresh_token in logins:
            response = await client.post("/api/v1/auth/refresh", json={"refresh_token": refresh_token})
            assert problem(response) == (401, "invalid-refresh-token")

    async def test_lifts_a_lock(self, client: httpx.AsyncClient, user: User, token: str) -> None:
        for _ in range(LIMIT):
            await log_in(client, user, "Wrong-horse-7")
        assert problem(await log_in(client, user, PASSWORD)) == (423, "account-locked")
        await replace(client, token)
        assert (await log_in(client, user, NEW_PASSWORD)).status_code == 200

    async def test_verifies_the_address(
        self, client: httpx.AsyncClient, session: AsyncSession, mails: Mails
    ) -> None:
        """Whoever finds their address taken by a stranger gets in like this, and the stranger does not."""
        ann = await factories.user(session, email="ann@example.org", email_verified_at=None)
        await ask(client, ann.email)
        await replace(client, mails[0].token)
        assert (await log_in(client, ann, NEW_PASSWORD)).status_code == 200
        assert problem(await log_in(client, ann, PASSWORD)) == (401, "wrong-credentials")

    async def test_keeps_when_the_address_was_verified(
        self, client: httpx.AsyncClient, user: User, token: str, session: AsyncSession
    ) -> None:
        verified = user.email_verified_at
        await replace(client, token)
        await session.refresh(user)
        assert user.email_verified_at == verified

    async def test_not_for_who_was_deactivated_since(
        self, client: httpx.AsyncClient, user: User, token: str, session: AsyncSession
    ) -> None:
        user.is_active = False
        await session.commit()
        before = user.password_hash
        assert problem(await replace(client, token)) == (404, "no-such-reset")
        await session.refresh(user)
        assert user.password_hash == before

    @pytest.mark.parametrize(
        "body",
        [
            {"new_password": "weak"},
            {"new_password": "Password1!"},
            {},
            {"password": NEW_PASSWORD},
            {"new_password": NEW_PASSWORD, "password": NEW_PASSWORD},
            {"new_password": NEW_PASSWORD, "email": "x"},
            None,
        ],
    )
    async def test_what_is_no_password_leaves_the_link_good(
        self, client: httpx.AsyncClient, token: str, body: object
    ) -> None:
        assert problem(await client.patch(f"{RESETS}{token}", json=body)) == (422, "invalid-request")
        assert (await replace(client, token)).status_code == 200

    @pytest.mark.parametrize("unknown", ["x", "%00", "%FF%FE", "%ED%A0%80", "a%0d%0ab", "A" * 200])
    async def test_an_unknown_token_is_not_found(self, client: httpx.AsyncClient, unknown: str) -> None:
        for response in (await client.get(f"{RESETS}{unknown}"), await replace(client, unknown)):
            assert response.status_code == 404

    async def test_what_is_no_token_is_invalid(self, client: httpx.AsyncClient) -> None:
        assert problem(await client.get(f"{RESETS}{'A' * 201}")) == (422, "invalid-request")

    async def test_too_many_requests(self, client: httpx.AsyncClient) -> None:
        for _ in range(30):
            assert (await client.get(f"{RESETS}x")).status_code == 404
        assert problem(await client.get(f"{RESETS}x")) == (429, "rate-limited")
        assert problem(await replace(client, "x")) == (429, "rate-limited")


async def test_nothing_secret_is_logged(
    client: httpx.AsyncClient, user: User, mails: Mails, caplog: pytest.LogCaptureFixture
) -> None:
    """But for the one link, outside production, in the mail's own line."""
    caplog.set_level(logging.DEBUG)
    await ask(client, user.email)
    (mail,) = mails
    await client.get(f"{RESETS}{mail.token}")
    await replace(client, mail.token)
    lines = [record.getMessage() for record in caplog.records]
    shown = [line for line in lines if mail.token in line or NEW_PASSWORD in line]
    assert shown == [f"Mail to ann@example.org: Choose a new password: {mail.link}"]
