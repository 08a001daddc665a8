"""When a request's changes are committed: before its response is sent, unless the response is an error."""

from collections.abc import Callable, MutableMapping
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from src.models import Provider, User
from tests import factories
from tests.api.conftest import Login

PROVIDERS = "/api/v1/providers"


class Recorder:
    """The app, noting when a response starts; ``sessions`` notes commits in the same list."""

    def __init__(self, app: FastAPI) -> None:
        self.events: list[str] = []
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Callable[..., Any]) -> None:
        async def noted(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                self.events.append(f"response {message['status']}")
            await send(message)

        await self._app(scope, receive, noted)


@pytest.fixture
def recorder(app: FastAPI, sessions: async_sessionmaker[AsyncSession]) -> Recorder:
    recorder = Recorder(app)

    class Recorded(AsyncSession):
        async def commit(self) -> None:
            await super().commit()
            recorder.events.append("commit")

        async def close(self) -> None:
            await super().close()
            recorder.events.append("close")

    app.state.sessions = async_sessionmaker(
        class_=Recorded, **{name: value for name, value in sessions.kw.items() if name != "class_"}
    )
    return recorder


@pytest.fixture
def http(recorder: Recorder) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(recorder), base_url="https://app")


async def test_a_commit_comes_before_the_response(
    http: httpx.AsyncClient, recorder: Recorder, user: User, login: Login
) -> None:
    new = {"provider_key": "schwab", "alias": "Mine"}
    response = await http.post(PROVIDERS, json=new, headers=login(user))
    assert response.status_code == 201
    assert recorder.events == ["commit", "close", "response 201"]


async def test_an_error_commits_nothing(
    http: httpx.AsyncClient, recorder: Recorder, session: AsyncSession, user: User, login: Login
) -> None:
    await factories.provider(session, user, alias="Taken")
    mine = await factories.provider(session, user, alias="Mine")
    path = f"{PROVIDERS}/{mine.id}"
    response = await http.patch(path, json={"alias": "Taken", "is_active": False}, headers=login(user))
    assert response.status_code == 409
    assert recorder.events == ["close", "response 409"]
    found = await session.get_one(Provider, mine.id, populate_existing=True)
    assert (found.alias, found.is_active) == ("Mine", True)


async def test_what_cannot_be_committed_is_no_success(
    http: httpx.AsyncClient,
    recorder: Recorder,
    session: AsyncSession,
    user: User,
    login: Login,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def lost(self: AsyncSession) -> None:
        raise OperationalError("COMMIT", {}, ConnectionError("the server is gone"))

    mine = await factories.provider(session, user, alias="Mine")
    monkeypatch.setattr(AsyncSession, "commit", lost)
    response = await http.patch(f"{PROVIDERS}/{mine.id}", json={"alias": "Other"}, headers=login(user))
    monkeypatch.undo()
    assert response.status_code == 503
    assert recorder.events[-1] == "response 503"
    assert (await session.get_one(Provider, mine.id, populate_existing=True)).alias == "Mine"


async def test_a_wrong_password_counts_although_the_response_is_an_error(
    http: httpx.AsyncClient, recorder: Recorder, session: AsyncSession, user: User
) -> None:
    credentials = {"email": user.email, "password": "Wrong-horse-7"}
    response = await http.post("/api/v1/auth/login", json=credentials)
    assert response.status_code == 401
    assert recorder.events == ["commit", "close", "response 401"]
    await session.refresh(user)
    assert user.failed_login_attempts == 1


async def test_a_link_works_when_its_mail_is_sent(
    http: httpx.AsyncClient, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def send(*arguments: object) -> None:
        recorder.events.append("mail")

    monkeypatch.setattr("src.accounts.mail.send", send)
    person = {"email": "bob@example.org", "password": factories.PASSWORD, "name": "Bob"}
    assert (await http.post("/api/v1/auth/register", json=person)).status_code == 201
    assert recorder.events.index("commit") < recorder.events.index("mail")
