"""What the status says of an attempt to connect, so that who polls can tell "still deciding" from any end."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from src.connections.attempts import DETAILS, Reason
from src.connections.audit import Action, AuditTarget, AuditTrail, ClientInfo
from src.connections.context import PROVIDER_PROBLEMS
from src.models import Provider, User
from src.models.provider import AuditOutcome
from tests import factories
from tests.api.conftest import Login
from tests.api.oauth_flow import OAuthFlow

OPEN = ("pending", None)


@pytest.fixture
def attempt(flow: OAuthFlow, user: User, provider: Provider, login: Login) -> "Attempt":
    return Attempt(flow, user, provider, login)


class Attempt:
    """One provider of one user, and what its status says."""

    def __init__(self, flow: OAuthFlow, user: User, provider: Provider, login: Login) -> None:
        self.flow, self.user, self.provider, self._login = flow, user, provider, login

    async def status(self) -> dict[str, Any]:
        path = f"/api/v1/providers/{self.provider.id}/authorization"
        response = await self.flow.client.get(path, headers=self._login(self.user))
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        assert (
            (body["last_error"] is None)
            is (body["last_error_detail"] is None)
            is (body["last_error_at"] is None)
        )
        return body

    async def says(self) -> tuple[str, str | None]:
        body = await self.status()
        return body["status"], body["last_error"]


async def test_still_deciding(attempt: Attempt) -> None:
    before = datetime.now(UTC)
    opened = await attempt.flow.open(attempt.user, attempt.provider)
    body = await attempt.status()
    assert (body["status"], body["last_error"]) == OPEN
    until = datetime.fromisoformat(body["open_until"]) - timedelta(minutes=10)
    assert before <= until <= datetime.now(UTC)
    answer = await attempt.flow.consent(opened)
    assert (await attempt.flow.complete(answer, opened.cookies)).status_code == 200
    body = await attempt.status()
    assert (body["status"], body["last_error"], body["open_until"]) == ("active", None, None)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"error": "access_denied"}, "access-denied"),
        ({"error": "temporarily_unavailable"}, "provider-error"),
        ({"code": "unknown"}, "code-refused"),
        ({"code": "\n"}, "code-invalid"),
        ({}, "code-missing"),
    ],
)
async def test_refused(attempt: Attempt, given: dict[str, str], reason: str) -> None:
    before = datetime.now(UTC)
    opened = await attempt.flow.open(attempt.user, attempt.provider)
    assert (await attempt.flow.complete(given | {"state": opened.state}, opened.cookies)).status_code == 400
    body = await attempt.status()
    assert (body["status"], body["last_error"], body["open_until"]) == ("pending", reason, None)
    assert body["last_error_detail"] == DETAILS[Reason(reason)]
    assert before <= datetime.fromisoformat(body["last_error_at"]) <= datetime.now(UTC)
    # The next attempt starts without it, and ends it.
    assert (await attempt.flow.start(attempt.user, attempt.provider)) is not None
    assert await attempt.says() == OPEN


async def test_provider_down(attempt: Attempt) -> None:
    opened = await attempt.flow.open(attempt.user, attempt.provider)
    answer = await attempt.flow.consent(opened)
    attempt.flow.fake.provider.switches.answer = "server_error"
    assert (await attempt.flow.complete(answer, opened.cookies)).status_code == 502
    assert await attempt.says() == ("pending", "provider-unavailable")


async def test_another_browser_came_back(attempt: Attempt) -> None:
    opened = await attempt.flow.open(attempt.user, attempt.provider)
    answer = await attempt.flow.consent(opened)
    response = await attempt.flow.complete(answer, {})
    assert response.status_code == 400
    # It is shown nothing of somebody else's provider.
    assert "result" not in response.json()
    assert await attempt.says() == ("pending", "other-browser")


@pytest.mark.parametrize("opened", [False, True])
async def test_nobody_finished_in_time(attempt: Attempt, session: AsyncSession, opened: bool) -> None:
    started = datetime.now(UTC) - timedelta(seconds=601)
    await entry(session, attempt.provider, Action.AUTHORIZATION_STARTED, started)
    if opened:
        await entry(session, attempt.provider, Action.AUTHORIZATION_OPENED, started + timedelta(seconds=500))
    body = await attempt.status()
    assert (body["status"], body["last_error"], body["open_until"]) == (
        "pending",
        "authorization-expired",
        None,
    )
    assert datetime.fromisoformat(body["last_error_at"]) == started + timedelta(seconds=600)


async def entry(
    session: AsyncSession, provider: Provider, action: Action, at: datetime, **details: Any
) -> None:
    outcome = AuditOutcome.FAILURE if details else AuditOutcome.SUCCESS
    trail = AuditTrail(session, async_sessionmaker(), ClientInfo())
    trail.record(action, AuditTarget.from_provider(provider), outcome, **details)
    (made,) = session.new
    made.occurred_at = at
    await session.commit()


async def test_a_connection_stays_when_connecting_again_is_refused(attempt: Attempt) -> None:
    await attempt.flow.connect(attempt.user, attempt.provider)
    opened = await attempt.flow.open(attempt.user, attempt.provider)
    await attempt.flow.complete({"state": opened.state, "error": "access_denied"}, opened.cookies)
    assert await attempt.says() == ("active", "access-denied")
    path = f"/api/v1/providers/{attempt.provider.id}/authorization"
    refreshed = await attempt.flow.client.patch(path, headers=attempt._login(attempt.user))
    assert (refreshed.status_code, refreshed.json()["last_error"]) == (200, None)


async def test_of_another_provider_nothing_is_said(attempt: Attempt, session: AsyncSession) -> None:
    other = await factories.provider(session, attempt.user, alias="Other")
    opened = await attempt.flow.open(attempt.user, other)
    await attempt.flow.complete({"state": opened.state, "error": "access_denied"}, opened.cookies)
    assert await attempt.says() == OPEN
    assert (await attempt.status())["open_until"] is None


async def test_of_two_that_are_open_the_one_that_was_started_last_counts(attempt: Attempt) -> None:
    older = await attempt.flow.open(attempt.user, attempt.provider)
    newer = await attempt.flow.open(attempt.user, attempt.provider)
    until = (await attempt.status())["open_until"]
    await attempt.flow.complete({"state": older.state, "error": "access_denied"}, older.cookies)
    body = await attempt.status()
    assert (body["status"], body["last_error"], body["open_until"]) == (*OPEN, until)
    await attempt.flow.complete({"state": newer.state, "error": "temporarily_unavailable"}, newer.cookies)
    assert await attempt.says() == ("pending", "provider-error")


async def test_an_older_one_that_connects_ends_the_newer_ones_failure(attempt: Attempt) -> None:
    older = await attempt.flow.open(attempt.user, attempt.provider)
    newer = await attempt.flow.open(attempt.user, attempt.provider)
    await attempt.flow.complete({"state": newer.state, "error": "access_denied"}, newer.cookies)
    assert await attempt.says() == ("pending", "access-denied")
    answer = await attempt.flow.consent(older)
    assert (await attempt.flow.complete(answer, older.cookies)).status_code == 200
    assert await attempt.says() == ("active", None)


async def test_a_reason_that_this_version_does_not_know(attempt: Attempt, session: AsyncSession) -> None:
    now = datetime.now(UTC)
    await entry(session, attempt.provider, Action.AUTHORIZATION_COMPLETED, now, problem="from-the-future")
    assert await attempt.says() == ("pending", "failed")


def test_every_reason_has_a_sentence_and_every_provider_problem_a_reason() -> None:
    assert DETAILS.keys() == set(Reason)
    assert {code for _, code, _ in PROVIDER_PROBLEMS.values()} <= set(Reason)
