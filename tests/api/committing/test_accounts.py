"""What happens at the same time."""

import asyncio
import os
import threading
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from argon2 import PasswordHasher
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from src.accounts import passwords, secret_tokens
from src.accounts.attempts import LIMIT
from src.models import RefreshToken, User
from tests import factories
from tests.api.committing.conftest import Hold
from tests.api.conftest import ReceivedMail

NEW_PASSWORD = "Battery-staple-8"
OUTDATED = PasswordHasher(time_cost=2, memory_cost=8, parallelism=1)


async def log_in(client: httpx.AsyncClient, user: User, password: str = factories.PASSWORD) -> httpx.Response:
    return await client.post("/api/v1/auth/login", json={"email": user.email, "password": password})


async def tokens(client: httpx.AsyncClient, user: User) -> str:
    response = await log_in(client, user)
    assert response.status_code == 200
    return str(response.json()["refresh_token"])


async def refresh(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await client.post("/api/v1/auth/refresh", json={"refresh_token": token})


def statuses(responses: list[httpx.Response]) -> Counter[int]:
    return Counter(response.status_code for response in responses)


async def live_refresh_tokens(session: AsyncSession) -> int:
    live = (col(RefreshToken.revoked_at).is_(None), col(RefreshToken.used_at).is_(None))
    # The login that the factory has made is none of the test's.
    own = col(RefreshToken.family_id) != RefreshToken.user_id
    return await session.scalar(select(func.count()).select_from(RefreshToken).where(own, *live)) or 0


async def test_no_more_than_ten_passwords_are_looked_at(
    client: httpx.AsyncClient, user: User, session: AsyncSession
) -> None:
    wrong = [log_in(client, user, "Wrong-horse-7") for _ in range(2 * LIMIT)]
    assert statuses(await asyncio.gather(*wrong)) == {401: LIMIT, 423: LIMIT}
    await session.refresh(user)
    assert user.failed_login_attempts == LIMIT
    assert (await log_in(client, user)).status_code == 423


async def test_right_passwords_at_the_same_time_all_pass(
    client: httpx.AsyncClient, user: User, session: AsyncSession
) -> None:
    """Each finds an outdated hash, too, and replaces it."""
    user.password_hash = OUTDATED.hash(factories.PASSWORD)
    await session.commit()
    responses = await asyncio.gather(*(log_in(client, user) for _ in range(5)))
    assert statuses(responses) == {200: 5}
    await session.refresh(user)
    assert (user.failed_login_attempts, user.locked_until) == (0, None)
    assert (await log_in(client, user)).status_code == 200


async def test_an_address_is_registered_once(
    client: httpx.AsyncClient, session: AsyncSession, mails: list[ReceivedMail]
) -> None:
    body = {"email": "ann@example.org", "password": factories.PASSWORD, "name": "Ann"}
    posts = [client.post("/api/v1/auth/register", json=body) for _ in range(4)]
    assert statuses(await asyncio.gather(*posts)) == {201: 1, 409: 3}
    assert await session.scalar(select(func.count()).select_from(User)) == 1
    assert len(mails) == 1


async def test_an_address_is_verified_once(client: httpx.AsyncClient, mails: list[ReceivedMail]) -> None:
    body = {"email": "ann@example.org", "password": factories.PASSWORD, "name": "Ann"}
    assert (await client.post("/api/v1/auth/register", json=body)).status_code == 201
    token = {"token": mails[0].token}
    posts = [client.post("/api/v1/auth/verify-email", json=token) for _ in range(5)]
    assert statuses(await asyncio.gather(*posts)) == {200: 1, 400: 4}


async def test_a_password_is_reset_once(
    client: httpx.AsyncClient, user: User, mails: list[ReceivedMail]
) -> None:
    await client.post("/api/v1/password-resets/", json={"email": user.email})
    path = f"/api/v1/password-resets/{mails[0].token}"
    chosen = [f"{NEW_PASSWORD}{n}" for n in range(4)]
    responses = await asyncio.gather(*(client.patch(path, json={"new_password": each}) for each in chosen))
    assert statuses(responses) == {200: 1, 404: 3}
    logins = [await log_in(client, user, each) for each in chosen]
    assert [response.status_code == 200 for response in logins] == [
        response.status_code == 200 for response in responses
    ]


async def test_a_refresh_token_is_used_once(
    client: httpx.AsyncClient, user: User, session: AsyncSession
) -> None:
    token = await tokens(client, user)
    responses = await asyncio.gather(*(refresh(client, token) for _ in range(5)))
    assert statuses(responses) == {200: 1, 401: 4}
    # The others are a reuse, and nobody can tell which of them was the thief's.
    (winner,) = (response for response in responses if response.status_code == 200)
    assert (await refresh(client, winner.json()["refresh_token"])).status_code == 401
    assert await live_refresh_tokens(session) == 0


async def _reset(client: httpx.AsyncClient, user: User, token: str) -> httpx.Response:
    return await client.patch(f"/api/v1/password-resets/{token}", json={"new_password": NEW_PASSWORD})


@pytest.mark.parametrize("refresh_first", [True, False])
async def test_no_refresh_token_slips_through_a_reset(
    client: httpx.AsyncClient,
    user: User,
    session: AsyncSession,
    hold: Hold,
    mails: list[ReceivedMail],
    refresh_first: bool,
) -> None:
    await client.post("/api/v1/password-resets/", json={"email": user.email})
    refreshing = refresh(client, await tokens(client, user))
    resetting = _reset(client, user, mails[0].token)
    async with hold(user) as until_waiting:
        first, second = (refreshing, resetting) if refresh_first else (resetting, refreshing)
        one = asyncio.create_task(first)
        await until_waiting(1)
        other = asyncio.create_task(second)
        await until_waiting(2)
    assert {(await one).status_code, (await other).status_code} == {200 if refresh_first else 401, 200}
    assert await live_refresh_tokens(session) == 0


@pytest.mark.parametrize("reuse_first", [True, False])
async def test_no_refresh_token_slips_through_a_reuse(
    client: httpx.AsyncClient, user: User, session: AsyncSession, hold: Hold, reuse_first: bool
) -> None:
    used = await tokens(client, user)
    good = (await refresh(client, used)).json()["refresh_token"]
    async with hold(user) as until_waiting:
        one = asyncio.create_task(refresh(client, used if reuse_first else good))
        await until_waiting(1)
        other = asyncio.create_task(refresh(client, good if reuse_first else used))
        await until_waiting(2)
    assert [(await one).status_code, (await other).status_code] == [401 if reuse_first else 200, 401]
    assert await live_refresh_tokens(session) == 0


async def test_a_password_that_is_changed_while_it_is_looked_at_is_wrong(
    client: httpx.AsyncClient, user: User, session: AsyncSession
) -> None:
    go_on = threading.Event()
    for _ in range(os.cpu_count() or 1):
        passwords.threads.submit(go_on.wait, 10)
    login = asyncio.create_task(log_in(client, user))
    while not user.failed_login_attempts:
        await session.rollback()
        await session.refresh(user)
    # The attempt is counted, and its password waits to be compared with what was read.
    user.password_hash = factories.hasher.hash(NEW_PASSWORD)
    await session.commit()
    go_on.set()
    assert (await login).status_code == 401


async def test_removing_what_has_ended_blocks_nobody(
    client: httpx.AsyncClient, user: User, session: AsyncSession
) -> None:
    ended = datetime.now(UTC) - timedelta(days=1)
    session.add_all(
        RefreshToken(
            user_id=user.id,
            family_id=uuid.uuid4(),
            token_hash=secret_tokens.hashed(str(number)),
            expires_at=ended,
        )
        for number in range(2 * secret_tokens.PURGED_AT_ONCE + 1)
    )
    await session.commit()
    assert statuses(await asyncio.gather(*(log_in(client, user) for _ in range(4)))) == {200: 4}
    left = select(func.count()).select_from(RefreshToken).where(RefreshToken.expires_at < datetime.now(UTC))
    assert await session.scalar(left) == 0
