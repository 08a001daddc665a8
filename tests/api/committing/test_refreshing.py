"""Refreshes at the same time, and what happens to a connection while a provider takes its time."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis
from sqlalchemy import AsyncAdaptedQueuePool, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from src.connections import refresh_lock, transport
from src.connections.audit import Action
from src.core.config import Settings
from src.models import Provider, ProviderConnection, ProviderToken, User
from tests import factories
from tests.api.committing.conftest import Hold
from tests.api.conftest import Login
from tests.api.connections.test_relay import code_of
from tests.api.fake_schwab import Served
from tests.api.oauth_flow import OAuthFlow, audited, stored

SLOW = 2.0  # seconds


@pytest.fixture
def app_settings(app_settings: Settings, fake_schwab: Served) -> Settings:
    return app_settings.model_copy(update=fake_schwab.app_settings)


@pytest.fixture
async def provider(session: AsyncSession, user: User) -> Provider:
    return await factories.provider(session, user, alias="Savings")


@pytest.fixture
def flow(client: httpx.AsyncClient, app_settings: Settings, login: Login, fake_schwab: Served) -> OAuthFlow:
    return OAuthFlow(client, app_settings, login, fake_schwab)


@pytest.fixture
async def connected(flow: OAuthFlow, user: User, provider: Provider) -> None:
    assert (await flow.connect(user, provider)).status_code == 200


@pytest.fixture
def url(provider: Provider) -> str:
    return f"/api/v1/providers/{provider.id}/authorization"


def switch(flow: OAuthFlow, **switches: Any) -> None:
    flow.fake.provider.switches = flow.fake.provider.switches.model_copy(update=switches)


@pytest.fixture
def release(fake_schwab: Served, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """A slow provider holds its answer back until this is called, however slow the machine is."""
    released = threading.Event()

    async def until_released(_seconds: float) -> None:
        while not released.is_set():  # noqa: ASYNC110 - it is set in another thread
            await asyncio.sleep(0.01)

    monkeypatch.setattr("src.fake_schwab.endpoints.hold_back", until_released)
    yield released.set
    released.set()


async def until_asked(flow: OAuthFlow, grant_type: str) -> None:
    """The provider has done its work, and holds back its answer."""
    async with asyncio.timeout(30):
        while not flow.asked(grant_type):  # noqa: ASYNC110 - it is asked in another thread
            await asyncio.sleep(0.01)


async def token_of(session: AsyncSession) -> ProviderToken:
    await session.commit()
    return (await session.scalars(select(ProviderToken).execution_options(populate_existing=True))).one()


async def test_the_provider_is_asked_once(
    flow: OAuthFlow, session: AsyncSession, url: str, user: User, login: Login, connected: None
) -> None:
    switch(flow, answer="slow", slow_seconds=SLOW)
    answers = await asyncio.gather(*(flow.client.patch(url, headers=login(user)) for _ in range(5)))
    assert [answer.status_code for answer in answers] == [200] * 5
    assert [answer.json() for answer in answers] == [answers[0].json()] * 5
    assert answers[0].json()["refresh_count"] == 1
    assert flow.asked("refresh_token") == 1
    assert len(await audited(session, Action.TOKEN_REFRESHED)) == 1


async def test_a_failure_is_everybodys(
    flow: OAuthFlow,
    session: AsyncSession,
    url: str,
    user: User,
    login: Login,
    connected: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transport, "TIMEOUT", 5.0)
    switch(flow, answer="slow")
    answers = await asyncio.gather(*(flow.client.patch(url, headers=login(user)) for _ in range(3)))
    assert [(answer.status_code, code_of(answer)) for answer in answers] == [(504, "provider-timeout")] * 3
    assert flow.asked("refresh_token") == 1
    assert len(await audited(session, Action.TOKEN_REFRESHED)) == 1


async def test_a_lost_consent_is_everybodys(
    flow: OAuthFlow, session: AsyncSession, url: str, user: User, login: Login, connected: None
) -> None:
    flow.fake.provider.withdraw_consent()
    switch(flow, answer="slow", slow_seconds=SLOW)
    answers = await asyncio.gather(*(flow.client.patch(url, headers=login(user)) for _ in range(3)))
    assert [(answer.status_code, code_of(answer)) for answer in answers] == [(409, "consent-expired")] * 3
    assert flow.asked("refresh_token") == 1


async def test_waiting_has_an_end(
    flow: OAuthFlow,
    redis: Redis,
    redis_prefix: str,
    provider: Provider,
    url: str,
    user: User,
    login: Login,
    connected: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(refresh_lock, "LOCK_PATIENCE", 0.2)
    async with redis.lock(f"{redis_prefix}oauth:refresh:{provider.id}", timeout=30):
        response = await flow.client.patch(url, headers=login(user))
    assert (response.status_code, code_of(response)) == (503, "refresh-in-progress")
    assert response.headers["retry-after"] == "5"
    assert flow.asked("refresh_token") == 0
    assert (await flow.client.patch(url, headers=login(user))).status_code == 200


async def test_no_connection_to_the_database_is_held_meanwhile(
    flow: OAuthFlow,
    session: AsyncSession,
    engine: AsyncEngine,
    url: str,
    user: User,
    login: Login,
    connected: None,
    release: Callable[[], None],
) -> None:
    await session.commit()
    switch(flow, answer="slow")
    refresh = asyncio.create_task(flow.client.patch(url, headers=login(user)))
    await until_asked(flow, "refresh_token")
    assert isinstance(engine.pool, AsyncAdaptedQueuePool)
    held = engine.pool.checkedout()
    release()
    assert (await refresh).status_code == 200
    assert held == 0


async def test_an_interrupted_refresh_leaves_a_trace(
    flow: OAuthFlow,
    session: AsyncSession,
    url: str,
    user: User,
    login: Login,
    connected: None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The process ends while the provider's answer is on its way; the provider has rotated."""
    before = await token_of(session)
    switch(flow, answer="slow")
    refresh = asyncio.create_task(flow.client.patch(url, headers=login(user)))
    await until_asked(flow, "refresh_token")
    refresh.cancel()
    await asyncio.gather(refresh, return_exceptions=True)
    assert (await token_of(session)).access_token_encrypted == before.access_token_encrypted
    assert [entry.action for entry in await audited(session)][-1] == "token.refresh_started"
    # The old refresh token was replaced, and the new one is lost: the user is told.
    switch(flow, answer="normal")
    response = await flow.client.patch(url, headers=login(user))
    assert (response.status_code, code_of(response)) == (409, "consent-expired")
    entry = (await audited(session, Action.TOKEN_REFRESHED))[-1]
    assert entry.details["interrupted_before"] is True
    assert "was interrupted" in caplog.text


async def _revoke(flow: OAuthFlow, user: User, provider: Provider) -> httpx.Response:
    return await flow.client.delete(
        f"/api/v1/providers/{provider.id}/authorization", headers=flow.login(user)
    )


async def _delete(flow: OAuthFlow, user: User, provider: Provider) -> httpx.Response:
    return await flow.client.delete(f"/api/v1/providers/{provider.id}", headers=flow.login(user))


@pytest.mark.parametrize(
    ("end", "status", "code", "left"),
    [(_revoke, 409, "not-connected", (1, 0)), (_delete, 404, "provider-not-found", (0, 0))],
)
async def test_whoever_ends_it_does_not_wait_and_wins(
    flow: OAuthFlow,
    session: AsyncSession,
    url: str,
    user: User,
    provider: Provider,
    login: Login,
    connected: None,
    release: Callable[[], None],
    end: Callable[..., Awaitable[httpx.Response]],
    status: int,
    code: str,
    left: tuple[int, int],
) -> None:
    switch(flow, answer="slow")
    refresh = asyncio.create_task(flow.client.patch(url, headers=login(user)))
    await until_asked(flow, "refresh_token")
    assert (await end(flow, user, provider)).status_code == 204
    assert not refresh.done()
    release()
    response = await refresh
    assert (response.status_code, code_of(response)) == (status, code)
    await session.commit()
    assert await stored(session) == left


async def test_what_is_removed_while_the_code_is_exchanged(
    flow: OAuthFlow, session: AsyncSession, user: User, provider: Provider, release: Callable[[], None]
) -> None:
    opened = await flow.open(user, provider)
    answer = await flow.consent(opened)
    switch(flow, answer="slow")
    completing = asyncio.create_task(flow.complete(answer, opened.cookies))
    await until_asked(flow, "authorization_code")
    assert (await _delete(flow, user, provider)).status_code == 204
    release()
    response = await completing
    assert (response.status_code, code_of(response)) == (400, "provider-gone")
    await session.commit()
    assert await stored(session) == (0, 0)
    last = (await audited(session, Action.AUTHORIZATION_COMPLETED))[-1]
    assert (last.outcome, last.details["problem"]) == ("failure", "provider-gone")


async def test_consents_at_once_leave_one_connection(
    flow: OAuthFlow, session: AsyncSession, user: User, provider: Provider, hold: Hold
) -> None:
    flows = [await flow.open(user, provider) for _ in range(3)]
    answers = [await flow.consent(opened) for opened in flows]
    async with asyncio.TaskGroup() as group, hold(provider) as until_waiting:
        tasks = [
            group.create_task(flow.complete(answer, opened.cookies))
            for answer, opened in zip(answers, flows, strict=True)
        ]
        await until_waiting(3)
    assert [task.result().status_code for task in tasks] == [200] * 3
    assert await stored(session) == (1, 1)


async def test_one_state_presented_at_once_counts_once(
    flow: OAuthFlow, session: AsyncSession, user: User, provider: Provider
) -> None:
    opened = await flow.open(user, provider)
    answer = await flow.consent(opened)
    responses = await asyncio.gather(*(flow.complete(answer, opened.cookies) for _ in range(5)))
    assert sorted(response.status_code for response in responses) == [200, 400, 400, 400, 400]
    assert flow.asked("authorization_code") == 1


async def test_failures_stay_recorded_when_the_request_fails(
    flow: OAuthFlow, sessions: async_sessionmaker[AsyncSession], user: User, provider: Provider
) -> None:
    opened = await flow.open(user, provider)
    answer = await flow.consent(opened) | {"code": "unknown"}
    assert code_of(await flow.complete(answer, opened.cookies)) == "code-refused"
    async with sessions() as another:
        last = (await audited(another, Action.AUTHORIZATION_COMPLETED))[-1]
        assert (last.outcome, last.details["problem"]) == ("failure", "code-refused")
        assert (await another.scalars(select(ProviderConnection))).all() == []
