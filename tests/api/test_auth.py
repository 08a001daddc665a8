"""Registration, verification, login, refresh, logout, profile: each rule by itself."""

import asyncio
import json
import logging
import uuid
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI
from redis.asyncio import Redis
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from src.accounts import access_tokens, secret_tokens
from src.accounts.attempts import LIMIT, LOCK
from src.core.config import Settings
from src.models import MailedToken, RefreshToken, User
from tests import factories
from tests.api.conftest import Login, ReceivedMail, without_redis
from tests.factories import PASSWORD

AUTH = "/api/v1/auth"
NEW_PASSWORD = "Battery-staple-8"
WRONG_PASSWORD = "Wrong-horse-7"
REGISTRATION = {"email": "ann@example.org", "password": PASSWORD, "name": "Ann"}

Mails = list[ReceivedMail]


def problem(response: httpx.Response) -> tuple[int, str]:
    assert response.headers["Content-Type"] == "application/problem+json"
    return response.status_code, response.json()["type"].removeprefix("urn:dashtam:problem:")


def invalid(response: httpx.Response) -> list[tuple[str, ...]]:
    """What is wrong, and that what was sent is not repeated."""
    assert problem(response) == (422, "invalid-request")
    assert all(error.keys() == {"loc", "msg", "type"} for error in response.json()["errors"])
    return [tuple(error["loc"]) for error in response.json()["errors"]]


async def log_in(
    client: httpx.AsyncClient, email: str = "ann@example.org", password: str = PASSWORD
) -> httpx.Response:
    return await client.post(f"{AUTH}/login", json={"email": email, "password": password})


async def refresh(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await client.post(f"{AUTH}/refresh", json={"refresh_token": token})


async def refresh_token(client: httpx.AsyncClient, user: User) -> str:
    response = await log_in(client, user.email)
    assert response.status_code == 200, response.text
    return str(response.json()["refresh_token"])


async def me(client: httpx.AsyncClient, tokens: dict[str, str]) -> httpx.Response:
    return await client.get(f"{AUTH}/me", headers={"Authorization": f"Bearer {tokens['access_token']}"})


def as_json(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")


async def users(session: AsyncSession) -> int | None:
    count: int | None = await session.scalar(select(func.count()).select_from(User))
    return count


class TestRegistration:
    async def test_makes_an_account_that_is_not_verified(
        self, client: httpx.AsyncClient, session: AsyncSession
    ) -> None:
        response = await client.post(f"{AUTH}/register", json=REGISTRATION)
        assert response.status_code == 201
        user = (await session.scalars(select(User))).one()
        assert response.json() == {
            "id": str(user.id),
            "email": "ann@example.org",
            "name": "Ann",
            "is_active": True,
            "email_verified": False,
            "email_verified_at": None,
            "created_at": response.json()["created_at"],
        }
        assert factories.hasher.verify(user.password_hash, PASSWORD)
        assert (user.email_verified_at, user.is_active, user.failed_login_attempts) == (None, True, 0)

    async def test_mails_a_link(
        self, client: httpx.AsyncClient, mails: Mails, app_settings: Settings, session: AsyncSession
    ) -> None:
        await client.post(f"{AUTH}/register", json=REGISTRATION)
        (mail,) = mails
        assert mail.to == "ann@example.org"
        assert mail.link == f"{app_settings.public_url}/verify-email?token={mail.token}"
        (stored,) = await session.scalars(select(MailedToken))
        assert stored.token_hash == secret_tokens.hashed(mail.token)
        assert timedelta(hours=23) < stored.expires_at - datetime.now(UTC) <= timedelta(hours=24)

    @pytest.mark.parametrize(
        ("given", "stored"),
        [
            ("Ann.Example@EXAMPLE.Org", "ann.example@example.org"),
            ("ann@EXÄMPLE.org", "ann@xn--exmple-cua.org"),
        ],
    )
    async def test_an_address_has_one_spelling(
        self, client: httpx.AsyncClient, given: str, stored: str
    ) -> None:
        response = await client.post(f"{AUTH}/register", json=REGISTRATION | {"email": given})
        assert response.json()["email"] == stored

    @pytest.mark.parametrize("address", ["ann@shop.test", "ann@shop.local", "ann@localhost"])
    async def test_addresses_of_a_local_network_are_refused_in_production_only(
        self, app: FastAPI, client: httpx.AsyncClient, session: AsyncSession, address: str
    ) -> None:
        response = await client.post(f"{AUTH}/register", json=REGISTRATION | {"email": address})
        assert (response.status_code, response.json()["email"]) == (201, address)
        app.state.settings = app.state.settings.model_copy(update={"environment": "production"})
        response = await client.post(f"{AUTH}/register", json=REGISTRATION | {"email": f"x{address}"})
        assert invalid(response) == [("body", "email")]
        assert await users(session) == 1

    @pytest.mark.parametrize("verified", [None, datetime(2026, 1, 1, tzinfo=UTC)])
    async def test_an_address_has_one_account(
        self, client: httpx.AsyncClient, session: AsyncSession, mails: Mails, verified: datetime | None
    ) -> None:
        user = await factories.user(session, email="ann@example.org", email_verified_at=verified)
        before = user.model_dump()
        other = {"email": "ANN@example.org", "password": NEW_PASSWORD, "name": "Mallory"}
        response = await client.post(f"{AUTH}/register", json=other)
        assert problem(response) == (409, "address-taken")
        await session.refresh(user)
        assert user.model_dump() == before
        assert not mails

    @pytest.mark.parametrize(
        ("password", "lacking"),
        [
            ("Short-7", "at least 8"),
            ("correct-horse-7", "an upper-case letter"),
            ("CORRECT-HORSE-7", "a lower-case letter"),
            ("Correct-horse-x", "a digit"),
            ("Correcthorse77", "a special character"),
            ("Correct horse 7", "a special character"),
            ("Correct\x00horse\x007", "a special character"),
            ("Aa1-" * 32 + "x", "at most 128"),
            ("", "at least 8"),
            ("Password1!", "is a common password"),
        ],
    )
    async def test_a_password_is_refused(
        self, client: httpx.AsyncClient, session: AsyncSession, password: str, lacking: str
    ) -> None:
        response = await client.post(f"{AUTH}/register", json=REGISTRATION | {"password": password})
        assert invalid(response) == [("body", "password")]
        assert lacking in response.json()["errors"][0]["msg"]
        assert not password or password not in response.text
        assert await users(session) == 0

    @pytest.mark.parametrize("password", ["Aa1-bQ9+" * 16, "Aa1-qvxz", "ÄäÖö-٣٣٣", "Aa1\u20ac\x00xyz"])
    async def test_a_password_is_accepted(self, client: httpx.AsyncClient, password: str) -> None:
        response = await client.post(f"{AUTH}/register", json=REGISTRATION | {"password": password})
        assert response.status_code == 201
        assert problem(await log_in(client, password=password)) == (403, "email-not-verified")

    @pytest.mark.parametrize(
        "email",
        [
            "",
            "ann",
            "@example.org",
            "ann@",
            "ann example@example.org",
            "Ann <ann@example.org>",
            "ann@example.org\x00",
            "ann\x00@example.org",
            "ann@example.org\r\nBcc: bob@example.org",
            "аnn@example.org",  # noqa: RUF001 - a Cyrillic letter
            "a" * 250 + "@example.org",
            "ann@" + "a" * 400 + ".org",
            None,
            7,
            ["ann@example.org"],
        ],
    )
    async def test_an_address_is_refused(
        self, client: httpx.AsyncClient, session: AsyncSession, email: object
    ) -> None:
        response = await client.post(f"{AUTH}/register", json=REGISTRATION | {"email": email})
        assert invalid(response) == [("body", "email")]
        assert await users(session) == 0

    @pytest.mark.parametrize(
        "name",
        [
            "",
            "   ",
            "\x00",
            "Ann\x00",
            "Ann\nBob",
            "Ann\u2028Bob",
            "A" * 101,
            "\ufb2c" * 100,
            None,
            7,
        ],
    )
    async def test_a_name_is_refused(
        self, client: httpx.AsyncClient, session: AsyncSession, name: object
    ) -> None:
        response = await client.post(f"{AUTH}/register", json=REGISTRATION | {"name": name})
        assert invalid(response) == [("body", "name")]
        assert await users(session) == 0

    @pytest.mark.parametrize(
        ("given", "stored"),
        [
            ("  Ann  ", "Ann"),
            ("A" * 100, "A" * 100),
            ("\U0001f469\u200d\U0001f4bb" * 33, "\U0001f469\u200d\U0001f4bb" * 33),
            ("O'Hara; DROP TABLE users --", "O'Hara; DROP TABLE users --"),
            ("Ame\u0301lie", "Am\u00e9lie"),
            ("\u0645\u0631\u064a\u0645 \u202e", "\u0645\u0631\u064a\u0645 \u202e"),
        ],
    )
    async def test_a_name_is_accepted(self, client: httpx.AsyncClient, given: str, stored: str) -> None:
        response = await client.post(f"{AUTH}/register", json=REGISTRATION | {"name": given})
        assert (response.status_code, response.json()["name"]) == (201, stored)

    @pytest.mark.parametrize("field", ["is_active", "email_verified_at", "id"])
    async def test_what_is_not_asked_for_is_refused(self, client: httpx.AsyncClient, field: str) -> None:
        response = await client.post(f"{AUTH}/register", json=REGISTRATION | {field: True})
        assert problem(response) == (422, "invalid-request")

    async def test_without_mail_nobody_is_registered(
        self, app: FastAPI, client: httpx.AsyncClient, session: AsyncSession, mails: Mails
    ) -> None:
        app.state.settings = app.state.settings.model_copy(update={"environment": "production"})
        response = await client.post(f"{AUTH}/register", json=REGISTRATION)
        assert problem(response) == (503, "mail-unavailable")
        assert await users(session) == 0
        assert not mails


class TestVerification:
    @pytest.fixture
    async def token(self, client: httpx.AsyncClient, mails: Mails) -> str:
        await client.post(f"{AUTH}/register", json=REGISTRATION)
        return mails[0].token

    async def verify(self, client: httpx.AsyncClient, token: str) -> httpx.Response:
        return await client.post(f"{AUTH}/verify-email", json={"token": token})

    async def test_opens_the_login(self, client: httpx.AsyncClient, token: str) -> None:
        assert problem(await log_in(client)) == (403, "email-not-verified")
        response = await self.verify(client, token)
        assert (response.status_code, response.json().keys()) == (200, {"message"})
        assert (await log_in(client)).status_code == 200

    async def test_works_once(self, client: httpx.AsyncClient, token: str) -> None:
        await self.verify(client, token)
        assert problem(await self.verify(client, token)) == (400, "invalid-link")

    async def test_an_expired_link_is_replaced_by_logging_in(
        self, client: httpx.AsyncClient, token: str, mails: Mails, session: AsyncSession
    ) -> None:
        await session.execute(update(MailedToken).values(expires_at=datetime.now(UTC)))
        await session.commit()
        assert problem(await self.verify(client, token)) == (400, "invalid-link")
        assert problem(await log_in(client)) == (403, "email-not-verified")
        (_, again) = mails
        assert (await self.verify(client, again.token)).status_code == 200
        assert (await log_in(client)).status_code == 200
        # What had ended is gone.
        assert await session.scalar(select(func.count()).select_from(MailedToken)) == 1

    async def test_several_links_are_good_until_one_is_used(
        self, client: httpx.AsyncClient, token: str, mails: Mails
    ) -> None:
        await log_in(client)
        (_, again) = mails
        assert (await self.verify(client, token)).status_code == 200
        assert problem(await self.verify(client, again.token)) == (400, "invalid-link")

    async def test_only_the_right_password_is_mailed_a_link(
        self, client: httpx.AsyncClient, token: str, mails: Mails
    ) -> None:
        assert problem(await log_in(client, password=WRONG_PASSWORD)) == (401, "wrong-credentials")
        assert len(mails) == 1

    async def test_nobodys_mailbox_is_filled(
        self, client: httpx.AsyncClient, session: AsyncSession, mails: Mails
    ) -> None:
        await factories.user(session, email="ann@example.org", email_verified_at=None)
        for _ in range(8):
            assert problem(await log_in(client)) == (403, "email-not-verified")
        assert len(mails) == 5

    async def test_where_mail_cannot_be_sent_the_login_says_so_much(
        self, app: FastAPI, client: httpx.AsyncClient, token: str, mails: Mails
    ) -> None:
        app.state.settings = app.state.settings.model_copy(update={"environment": "production"})
        assert problem(await log_in(client)) == (403, "email-not-verified")
        assert len(mails) == 1

    @pytest.mark.parametrize("token_", ["x", "\x00", "ä", "A" * 200])
    async def test_an_unknown_token_is_refused(self, client: httpx.AsyncClient, token_: str) -> None:
        assert problem(await self.verify(client, token_)) == (400, "invalid-link")

    @pytest.mark.parametrize("token_", ["", "A" * 201, None, 7])
    async def test_what_is_no_token_is_invalid(self, client: httpx.AsyncClient, token_: object) -> None:
        response = await client.post(f"{AUTH}/verify-email", json={"token": token_})
        assert invalid(response) == [("body", "token")]

    async def test_the_token_of_a_reset_verifies_nothing(
        self, client: httpx.AsyncClient, token: str, mails: Mails
    ) -> None:
        await client.post("/api/v1/password-resets/", json={"email": "ann@example.org"})
        assert problem(await self.verify(client, mails[1].token)) == (400, "invalid-link")
        assert problem(await client.get(f"/api/v1/password-resets/{token}")) == (404, "no-such-reset")


class TestLogin:
    async def test_answers_tokens(
        self, client: httpx.AsyncClient, user: User, session: AsyncSession, app_settings: Settings
    ) -> None:
        response = await log_in(client, "ANN@Example.org")
        assert response.status_code == 200
        assert response.headers["Cache-Control"] == "no-store"
        body = response.json()
        assert body.keys() == {"access_token", "refresh_token", "token_type", "expires_in"}
        assert (body["token_type"], body["expires_in"]) == ("Bearer", 1800)
        assert access_tokens.read(body["access_token"], app_settings.secret_key).user_id == user.id
        me = await client.get(f"{AUTH}/me", headers={"Authorization": f"Bearer {body['access_token']}"})
        assert me.json()["email"] == "ann@example.org"
        (stored,) = await session.scalars(select(RefreshToken).where(RefreshToken.family_id != user.id))
        assert stored.token_hash == secret_tokens.hashed(body["refresh_token"])
        assert timedelta(days=29) < stored.expires_at - datetime.now(UTC) <= timedelta(days=30)
        await session.refresh(user)
        assert user.last_login_at is not None

    async def test_a_wrong_password_and_an_unknown_address_look_the_same(
        self, client: httpx.AsyncClient, user: User
    ) -> None:
        wrong = await log_in(client, password=WRONG_PASSWORD)
        unknown = await log_in(client, "nobody@example.org")
        assert problem(wrong) == problem(unknown) == (401, "wrong-credentials")
        assert wrong.headers["WWW-Authenticate"] == unknown.headers["WWW-Authenticate"] == "Bearer"
        for response in (wrong, unknown):
            assert response.json()["detail"] == "Address or password is wrong."

    async def test_who_was_deactivated(self, client: httpx.AsyncClient, session: AsyncSession) -> None:
        await factories.user(session, email="ann@example.org", is_active=False)
        assert problem(await log_in(client)) == (403, "account-inactive")
        assert problem(await log_in(client, password=WRONG_PASSWORD)) == (401, "wrong-credentials")

    @pytest.mark.parametrize("email", ["ann@example.org", "nobody@example.org"])
    async def test_ten_wrong_passwords_lock(self, client: httpx.AsyncClient, user: User, email: str) -> None:
        """For an address without an account, too: else the lock would tell which have one."""
        for _ in range(LIMIT):
            assert problem(await log_in(client, email, WRONG_PASSWORD)) == (401, "wrong-credentials")
        response = await log_in(client, email)
        assert problem(response) == (423, "account-locked")
        assert 3500 < int(response.headers["Retry-After"]) <= 3600

    async def test_a_lock_does_not_tell_which_address_has_an_account(
        self, client: httpx.AsyncClient, user: User
    ) -> None:
        """It lasts from the tenth attempt on, whenever the first one was."""
        emails = [user.email, "nobody@example.org"]
        for pause in (3, *[0] * (LIMIT - 1)):
            for email in emails:
                assert problem(await log_in(client, email, WRONG_PASSWORD)) == (401, "wrong-credentials")
            await asyncio.sleep(pause)
        answers = [await log_in(client, email) for email in emails]
        assert [problem(answer) for answer in answers] == [(423, "account-locked")] * 2
        known, unknown = (int(answer.headers["Retry-After"]) for answer in answers)
        assert abs(known - unknown) <= 1

    async def test_a_lock_of_an_address_without_an_account_ends(
        self, client: httpx.AsyncClient, redis: Redis, redis_prefix: str
    ) -> None:
        for _ in range(LIMIT):
            await log_in(client, "nobody@example.org")
        async for key in redis.scan_iter(f"{redis_prefix}unknown-address:*"):
            assert 3_500_000 < await redis.pttl(key) <= 3_600_000
            await redis.pexpire(key, 1)
        await asyncio.sleep(0.01)
        assert problem(await log_in(client, "nobody@example.org")) == (401, "wrong-credentials")

    async def test_a_lock_is_the_accounts_alone(
        self, client: httpx.AsyncClient, user: User, other_user: User
    ) -> None:
        for _ in range(LIMIT):
            await log_in(client, password=WRONG_PASSWORD)
        assert (await log_in(client, other_user.email)).status_code == 200

    async def test_a_lock_ends(self, client: httpx.AsyncClient, session: AsyncSession) -> None:
        user = await factories.user(
            session,
            email="ann@example.org",
            failed_login_attempts=LIMIT,
            locked_until=datetime.now(UTC) - timedelta(seconds=1),
        )
        assert problem(await log_in(client, password=WRONG_PASSWORD)) == (401, "wrong-credentials")
        await session.refresh(user)
        assert (user.failed_login_attempts, user.locked_until) == (1, None)
        assert (await log_in(client)).status_code == 200
        await session.refresh(user)
        assert (user.failed_login_attempts, user.locked_until) == (0, None)

    async def test_nothing_prolongs_a_lock(self, client: httpx.AsyncClient, session: AsyncSession) -> None:
        until = datetime.now(UTC) + LOCK / 2
        user = await factories.user(
            session, email="ann@example.org", failed_login_attempts=LIMIT, locked_until=until
        )
        assert problem(await log_in(client, password=WRONG_PASSWORD)) == (423, "account-locked")
        await session.refresh(user)
        assert (user.failed_login_attempts, user.locked_until) == (LIMIT, until)

    async def test_the_right_password_starts_again(self, client: httpx.AsyncClient, user: User) -> None:
        for _ in range(2):
            for _ in range(LIMIT - 1):
                assert problem(await log_in(client, password=WRONG_PASSWORD)) == (401, "wrong-credentials")
            assert (await log_in(client)).status_code == 200

    async def test_an_outdated_hash_is_replaced(
        self, client: httpx.AsyncClient, user: User, session: AsyncSession
    ) -> None:
        outdated = PasswordHasher(time_cost=2, memory_cost=8, parallelism=1)
        user.password_hash = outdated.hash(PASSWORD)
        await session.commit()
        assert (await log_in(client)).status_code == 200
        await session.refresh(user)
        replaced = user.password_hash
        assert not factories.hasher.check_needs_rehash(replaced)
        assert (await log_in(client)).status_code == 200
        await session.refresh(user)
        assert user.password_hash == replaced

    async def test_a_hash_that_is_none_lets_nobody_in(
        self, client: httpx.AsyncClient, session: AsyncSession
    ) -> None:
        await factories.user(session, email="ann@example.org", password_hash="not a hash")
        assert problem(await log_in(client)) == (401, "wrong-credentials")

    @pytest.mark.parametrize("composed", [True, False])
    async def test_a_password_is_the_same_however_it_is_composed(
        self, client: httpx.AsyncClient, session: AsyncSession, composed: bool
    ) -> None:
        spellings = ["Am\u00e9lie-77", "Ame\u0301lie-77"]
        await factories.user(
            session, email="ann@example.org", password_hash=factories.hasher.hash(spellings[0])
        )
        assert (await log_in(client, password=spellings[composed])).status_code == 200

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"email": "ann@example.org"},
            {"email": "ann@example.org", "password": ""},
            {"email": "ann@example.org", "password": "A" * 129},
            {"email": "ann@example.org", "password": "A" * 60_000},
            {"email": "ann", "password": PASSWORD},
            {"email": "ann@example.org", "password": PASSWORD, "remember": True},
            [],
            "ann",
            None,
        ],
    )
    async def test_what_is_no_login_is_invalid(self, client: httpx.AsyncClient, body: object) -> None:
        response = await client.post(f"{AUTH}/login", json=body)
        assert problem(response) == (422, "invalid-request")
        assert PASSWORD not in response.text

    async def test_odd_passwords_are_wrong_ones(self, client: httpx.AsyncClient, user: User) -> None:
        for password in ("\x00", "\ufffe", "\U0001f468\u200d\U0001f469", "' OR 1=1 --", "%00"):
            assert problem(await log_in(client, password=password)) == (401, "wrong-credentials")

    async def test_without_redis_nobody_tries_passwords(
        self, app: FastAPI, client: httpx.AsyncClient, user: User
    ) -> None:
        async with without_redis(app):
            assert problem(await log_in(client)) == (503, "service-unavailable")


SURROGATE = "\ud800"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("register", REGISTRATION | {"name": SURROGATE}, 422),
        ("register", REGISTRATION | {"email": f"{SURROGATE}@example.org"}, 422),
        ("register", REGISTRATION | {"password": PASSWORD + SURROGATE}, 201),
        ("register", REGISTRATION | {SURROGATE: 1}, 422),
        ("login", {"email": "ann@example.org", "password": SURROGATE}, 401),
        ("verify-email", {"token": SURROGATE}, 400),
        ("refresh", {"refresh_token": SURROGATE}, 401),
        ("logout", {"refresh_token": SURROGATE}, 200),
    ],
)
async def test_half_a_character(
    client: httpx.AsyncClient, path: str, body: dict[str, object], status: int
) -> None:
    """JSON can say what UTF-8 and PostgreSQL cannot (RFC 8259, 8.2)."""
    headers = {"Content-Type": "application/json"}
    response = await client.post(f"{AUTH}/{path}", content=json.dumps(body), headers=headers)
    assert response.status_code == status


@pytest.mark.parametrize(
    ("path", "number"),
    [("register", 30), ("login", 30), ("verify-email", 30), ("refresh", 60)],
)
async def test_too_many_requests(client: httpx.AsyncClient, path: str, number: int) -> None:
    for _ in range(number):
        assert (await client.post(f"{AUTH}/{path}", json={})).status_code == 422
    response = await client.post(f"{AUTH}/{path}", json={})
    assert problem(response) == (429, "rate-limited")
    assert int(response.headers["Retry-After"]) > 0


class TestRefresh:
    async def test_replaces_the_token(
        self, client: httpx.AsyncClient, user: User, app_settings: Settings
    ) -> None:
        first = await refresh_token(client, user)
        response = await refresh(client, first)
        assert response.status_code == 200
        assert response.headers["Cache-Control"] == "no-store"
        body = response.json()
        assert body["refresh_token"] != first
        assert access_tokens.read(body["access_token"], app_settings.secret_key).user_id == user.id
        assert (await refresh(client, body["refresh_token"])).status_code == 200

    async def test_a_token_that_comes_again_ends_its_login_and_no_other(
        self, client: httpx.AsyncClient, user: User, caplog: pytest.LogCaptureFixture
    ) -> None:
        first, other = await refresh_token(client, user), await refresh_token(client, user)
        second = (await refresh(client, first)).json()["refresh_token"]
        assert problem(await refresh(client, first)) == (401, "invalid-refresh-token")
        assert f"A refresh token of user {user.id} came twice" in caplog.text
        assert problem(await refresh(client, second)) == (401, "invalid-refresh-token")
        assert (await refresh(client, other)).status_code == 200

    async def test_what_has_expired_is_refused(
        self, client: httpx.AsyncClient, user: User, session: AsyncSession
    ) -> None:
        token = await refresh_token(client, user)
        await session.execute(update(RefreshToken).values(expires_at=datetime.now(UTC)))
        await session.commit()
        assert problem(await refresh(client, token)) == (401, "invalid-refresh-token")

    async def test_who_was_deactivated_is_refused(
        self, client: httpx.AsyncClient, user: User, session: AsyncSession
    ) -> None:
        token = await refresh_token(client, user)
        user.is_active = False
        await session.commit()
        assert problem(await refresh(client, token)) == (401, "invalid-refresh-token")

    async def test_whose_user_is_gone_is_refused(
        self, client: httpx.AsyncClient, user: User, session: AsyncSession
    ) -> None:
        token = await refresh_token(client, user)
        await session.delete(user)
        await session.commit()
        assert problem(await refresh(client, token)) == (401, "invalid-refresh-token")

    @pytest.mark.parametrize("token", ["x", "\x00", "A" * 200])
    async def test_an_unknown_token_is_refused(self, client: httpx.AsyncClient, token: str) -> None:
        assert problem(await refresh(client, token)) == (401, "invalid-refresh-token")

    @pytest.mark.parametrize("token", ["", "A" * 201, None, {}])
    async def test_what_is_no_token_is_invalid(self, client: httpx.AsyncClient, token: object) -> None:
        response = await client.post(f"{AUTH}/refresh", json={"refresh_token": token})
        assert invalid(response) == [("body", "refresh_token")]

    async def test_what_has_ended_is_removed(
        self, client: httpx.AsyncClient, user: User, session: AsyncSession
    ) -> None:
        token = await refresh_token(client, user)
        await session.execute(update(RefreshToken).values(expires_at=datetime.now(UTC)))
        await session.commit()
        assert await refresh_token(client, user) != token
        assert await session.scalar(select(func.count()).select_from(RefreshToken)) == 1


class TestLogout:
    async def logout(self, client: httpx.AsyncClient, token: str) -> httpx.Response:
        return await client.post(f"{AUTH}/logout", json={"refresh_token": token})

    async def test_ends_this_login_and_no_other(self, client: httpx.AsyncClient, user: User) -> None:
        token, other = await refresh_token(client, user), await refresh_token(client, user)
        response = await self.logout(client, token)
        assert (response.status_code, response.json().keys()) == (200, {"message"})
        assert problem(await refresh(client, token)) == (401, "invalid-refresh-token")
        assert (await refresh(client, other)).status_code == 200

    async def test_ends_access_tokens_of_this_login_at_once(
        self, client: httpx.AsyncClient, user: User
    ) -> None:
        mine, other = (await log_in(client)).json(), (await log_in(client)).json()
        renewed = (await refresh(client, mine["refresh_token"])).json()
        for tokens in (mine, renewed, other):
            assert (await me(client, tokens)).status_code == 200
        assert (await self.logout(client, renewed["refresh_token"])).status_code == 200
        for tokens in (mine, renewed):
            assert problem(await me(client, tokens)) == (401, "invalid-access-token")
        assert (await me(client, other)).status_code == 200

    async def test_a_used_token_ends_what_came_of_it(self, client: httpx.AsyncClient, user: User) -> None:
        token = await refresh_token(client, user)
        next_token = (await refresh(client, token)).json()["refresh_token"]
        assert (await self.logout(client, token)).status_code == 200
        assert problem(await refresh(client, next_token)) == (401, "invalid-refresh-token")

    @pytest.mark.parametrize("token", ["x", "\x00"])
    async def test_an_unknown_token_has_nothing_to_end(self, client: httpx.AsyncClient, token: str) -> None:
        assert (await self.logout(client, token)).status_code == 200


class TestMe:
    async def test_is_who_asks(
        self, client: httpx.AsyncClient, user: User, other_user: User, login: Login
    ) -> None:
        for each in (user, other_user):
            response = await client.get(f"{AUTH}/me", headers=login(each))
            assert response.status_code == 200
            assert response.json() == {
                "id": str(each.id),
                "email": each.email,
                "name": each.name,
                "is_active": True,
                "email_verified": True,
                "email_verified_at": as_json(each.email_verified_at),
                "created_at": as_json(each.created_at),
            }

    @pytest.mark.parametrize("method", ["GET", "PATCH"])
    async def test_without_a_token(self, client: httpx.AsyncClient, method: str) -> None:
        for headers in ({}, {"Authorization": "Basic YTpi"}, {"Authorization": "Bearer"}):
            response = await client.request(method, f"{AUTH}/me", headers=headers)
            assert problem(response) == (401, "not-authenticated")
            assert response.headers["WWW-Authenticate"] == "Bearer"

    @pytest.mark.parametrize("token", ["x", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", "ä", "\x7f"])
    async def test_with_a_token_that_is_none(self, client: httpx.AsyncClient, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}".encode()}
        response = await client.get(f"{AUTH}/me", headers=headers)
        assert problem(response) == (401, "invalid-access-token")
        assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'

    async def test_with_a_token_that_has_expired(
        self, client: httpx.AsyncClient, user: User, app_settings: Settings
    ) -> None:
        now = datetime.now(UTC) - access_tokens.LIFETIME - access_tokens.CLOCK_SKEW
        token = access_tokens.issue(user.id, app_settings.secret_key, user.id, now=now)
        response = await client.get(f"{AUTH}/me", headers={"Authorization": f"Bearer {token}"})
        assert problem(response) == (401, "invalid-access-token")

    async def test_another_login_changes_the_password(self, client: httpx.AsyncClient, user: User) -> None:
        """The access tokens of all others end with it, at once."""
        mine, other = (await log_in(client)).json(), (await log_in(client)).json()
        headers = {"Authorization": f"Bearer {mine['access_token']}"}
        changes = {"password": NEW_PASSWORD, "current_password": PASSWORD}
        assert (await self.change(client, headers, changes)).status_code == 200
        assert problem(await me(client, other)) == (401, "invalid-access-token")
        assert (await me(client, mine)).status_code == 200

    async def test_a_login_of_somebody_else(
        self, client: httpx.AsyncClient, user: User, other_user: User, app_settings: Settings
    ) -> None:
        tokens = (await log_in(client)).json()
        family = access_tokens.read(tokens["access_token"], app_settings.secret_key).family_id
        token = access_tokens.issue(other_user.id, app_settings.secret_key, family)
        assert problem(await me(client, {"access_token": token})) == (401, "invalid-access-token")

    async def test_nobody_any_more(
        self, client: httpx.AsyncClient, user: User, login: Login, session: AsyncSession
    ) -> None:
        user.is_active = False
        await session.commit()
        for headers in (login(user), login(User(id=uuid.uuid4(), email="", password_hash="", name=""))):
            assert problem(await client.get(f"{AUTH}/me", headers=headers)) == (401, "invalid-access-token")

    async def change(
        self, client: httpx.AsyncClient, headers: dict[str, str], changes: object
    ) -> httpx.Response:
        return await client.patch(f"{AUTH}/me", headers=headers, json=changes)

    async def test_another_name(
        self, client: httpx.AsyncClient, user: User, other_user: User, login: Login, session: AsyncSession
    ) -> None:
        response = await self.change(client, login(user), {"name": " Anne "})
        assert (response.status_code, response.json()["name"]) == (200, "Anne")
        session.expire_all()
        assert set(await session.scalars(select(User.name))) == {"Anne", "Bob"}

    async def test_nothing(self, client: httpx.AsyncClient, user: User, login: Login) -> None:
        response = await self.change(client, login(user), {})
        assert (response.status_code, response.json()["name"]) == (200, "Ann")

    @pytest.mark.parametrize(
        "changes",
        [
            {"email": "anne@example.org"},
            {"is_active": False},
            {"name": ""},
            {"name": "Ann\x00"},
            {"name": "A" * 101},
            {"password": NEW_PASSWORD},
            {"password": NEW_PASSWORD, "current_password": None},
            {"password": "weak", "current_password": PASSWORD},
            {"password": "Password1!", "current_password": PASSWORD},
            {"name": "Anne", "password": "weak", "current_password": PASSWORD},
            [],
            None,
        ],
    )
    async def test_what_cannot_be_changed(
        self, client: httpx.AsyncClient, user: User, login: Login, session: AsyncSession, changes: object
    ) -> None:
        before = user.model_dump()
        response = await self.change(client, login(user), changes)
        assert problem(response) == (422, "invalid-request")
        assert NEW_PASSWORD not in response.text
        await session.refresh(user)
        assert user.model_dump() == before

    async def test_a_new_password_ends_all_other_logins(
        self, client: httpx.AsyncClient, user: User, mails: Mails
    ) -> None:
        await client.post("/api/v1/password-resets/", json={"email": user.email})
        other = await refresh_token(client, user)
        mine = (await log_in(client)).json()
        headers = {"Authorization": f"Bearer {mine['access_token']}"}
        changes = {"password": NEW_PASSWORD, "current_password": PASSWORD, "name": "Anne"}
        response = await self.change(client, headers, changes)
        assert (response.status_code, response.json()["name"]) == (200, "Anne")
        assert problem(await refresh(client, other)) == (401, "invalid-refresh-token")
        assert (await refresh(client, mine["refresh_token"])).status_code == 200
        assert problem(await log_in(client)) == (401, "wrong-credentials")
        assert (await log_in(client, password=NEW_PASSWORD)).status_code == 200
        link = await client.get(f"/api/v1/password-resets/{mails[0].token}")
        assert problem(link) == (404, "no-such-reset")

    async def test_a_wrong_current_password_changes_nothing_and_counts(
        self, client: httpx.AsyncClient, user: User, login: Login, session: AsyncSession
    ) -> None:
        token = await refresh_token(client, user)
        changes = {"password": NEW_PASSWORD, "current_password": WRONG_PASSWORD, "name": "Anne"}
        for _ in range(LIMIT):
            response = await self.change(client, login(user), changes)
            assert problem(response) == (403, "wrong-password")
        assert problem(await self.change(client, login(user), changes)) == (423, "account-locked")
        await session.refresh(user)
        assert user.name == "Ann"
        assert problem(await log_in(client)) == (423, "account-locked")
        assert (await refresh(client, token)).status_code == 200


async def test_nothing_secret_is_logged(
    client: httpx.AsyncClient, mails: Mails, caplog: pytest.LogCaptureFixture
) -> None:
    """But for the one link, outside production, in the mail's own line."""
    caplog.set_level(logging.DEBUG)
    await client.post(f"{AUTH}/register", json=REGISTRATION)
    (mail,) = mails
    await client.post(f"{AUTH}/verify-email", json={"token": mail.token})
    tokens = (await log_in(client)).json()
    second = (await refresh(client, tokens["refresh_token"])).json()
    await refresh(client, tokens["refresh_token"])
    await log_in(client, password=WRONG_PASSWORD)
    secrets = [PASSWORD, WRONG_PASSWORD, mail.token]
    secrets += [each[name] for each in (tokens, second) for name in ("access_token", "refresh_token")]
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) > 3
    shown = [(line, secret) for line in lines for secret in secrets if secret in line]
    assert shown == [(f"Mail to ann@example.org: Confirm your address: {mail.link}", mail.token)]
