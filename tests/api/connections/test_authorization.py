"""A connection once it is made: how it stands, refreshed, revoked."""

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from src.connections import refreshing, transport
from src.connections.attempts import DETAILS, Reason
from src.connections.audit import Action, AuditTarget, AuditTrail, ClientInfo
from src.connections.context import Context, OAuth
from src.connections.tokens import Tokens, read
from src.core.config import Settings
from src.models import Provider, ProviderConnection, ProviderToken, User
from tests import factories
from tests.api.conftest import Login, without_redis
from tests.api.connections.test_relay import code_of
from tests.api.oauth_flow import IP_ADDRESS, OAuthFlow, audited, stored

REFRESHED = Action.TOKEN_REFRESHED


@pytest.fixture
def url(provider: Provider) -> str:
    return f"/api/v1/providers/{provider.id}/authorization"


@pytest.fixture
async def connected(flow: OAuthFlow, user: User, provider: Provider) -> None:
    assert (await flow.connect(user, provider)).status_code == 200


async def held(session: AsyncSession, app: FastAPI) -> tuple[ProviderToken, Tokens]:
    """The tokens that are stored, in clear."""
    query = select(ProviderToken).execution_options(populate_existing=True)
    row = (await session.scalars(query)).one()
    return row, read(row, app.state.keyring)


async def change(
    session: AsyncSession, row: type[ProviderToken] | type[ProviderConnection], **to: Any
) -> None:
    found = (await session.scalars(select(row).execution_options(populate_existing=True))).one()
    for name, value in to.items():
        setattr(found, name, value)
    await session.commit()


def switch(flow: OAuthFlow, **switches: Any) -> None:
    flow.fake.provider.switches = flow.fake.provider.switches.model_copy(update=switches)


# Starting and looking


async def test_start(flow: OAuthFlow, session: AsyncSession, user: User, provider: Provider) -> None:
    link = await flow.start(user, provider)
    assert set(link) == {"auth_url", "state", "expires_in"}
    assert link["auth_url"].startswith(f"{flow.settings.schwab_redirect_uri}/authorize?")
    assert link["expires_in"] == 600
    assert await stored(session) == (0, 0)
    (entry,) = await audited(session)
    assert (entry.action, entry.user_id, entry.provider_id) == (
        "authorization.started",
        user.id,
        provider.id,
    )


async def test_start_of_what_is_switched_off(
    flow: OAuthFlow, session: AsyncSession, user: User, login: Login
) -> None:
    provider = await factories.provider(session, user, is_active=False)
    response = await flow.client.post(f"/api/v1/providers/{provider.id}/authorization", headers=login(user))
    assert (response.status_code, code_of(response)) == (409, "provider-inactive")
    assert await audited(session) == []


async def test_start_of_a_type_that_is_no_more(
    flow: OAuthFlow, session: AsyncSession, user: User, login: Login
) -> None:
    provider = await factories.provider(session, user, provider_key="bankrupt")
    response = await flow.client.post(f"/api/v1/providers/{provider.id}/authorization", headers=login(user))
    assert (response.status_code, code_of(response)) == (409, "provider-type-unknown")


async def test_start_is_limited(
    flow: OAuthFlow, url: str, user: User, other_user: User, login: Login
) -> None:
    answers = [await flow.client.post(url, headers=login(user)) for _ in range(21)]
    assert [answer.status_code for answer in answers] == [200] * 20 + [429]
    assert int(answers[-1].headers["retry-after"]) > 0
    assert (await flow.client.post(url, headers=login(other_user))).status_code == 404


async def test_start_and_refresh_without_redis(
    flow: OAuthFlow, app: FastAPI, session: AsyncSession, url: str, user: User, login: Login, connected: None
) -> None:
    before = len(await audited(session))
    async with without_redis(app):
        for method in ("POST", "PATCH"):
            response = await flow.client.request(method, url, headers=login(user))
            assert (response.status_code, code_of(response)) == (503, "service-unavailable")
        assert len(await audited(session)) == before
        assert (await flow.client.delete(url, headers=login(user))).status_code == 204


async def test_status_before(client: httpx.AsyncClient, url: str, user: User, login: Login) -> None:
    response = await client.get(url, headers=login(user))
    assert response.status_code == 200
    body = response.json()
    assert body.pop("provider_id") in url
    assert body == {
        "status": "pending",
        "connected_at": None,
        "scope": None,
        "access_token_expires_at": None,
        "consent_expires_at": None,
        "last_refreshed_at": None,
        "refresh_count": 0,
        "open_until": None,
        "last_error": None,
        "last_error_detail": None,
        "last_error_at": None,
        "error_count": 0,
    }


async def test_status_after(flow: OAuthFlow, url: str, user: User, login: Login, connected: None) -> None:
    response = await flow.client.get(url, headers=login(user))
    body = response.json()
    assert (body["status"], body["scope"], body["refresh_count"]) == ("active", "api", 0)
    lifetime = datetime.fromisoformat(body["access_token_expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=28) < lifetime <= timedelta(minutes=30)
    grant = next(iter(flow.fake.provider._codes.values()))
    assert not [token for token in (*grant.access, str(grant.refresh)) if token in response.text]
    switch(flow, answer="server_error")
    assert (await flow.client.get(url, headers=login(user))).status_code == 200


# Refreshing


@pytest.mark.parametrize(
    ("switched", "recorded"), [("rotate", "rotated"), ("same", "same"), ("omit", "omitted")]
)
async def test_refresh(
    flow: OAuthFlow,
    app: FastAPI,
    session: AsyncSession,
    url: str,
    user: User,
    login: Login,
    connected: None,
    switched: str,
    recorded: str,
) -> None:
    switch(flow, refresh_token=switched)
    row, before = await held(session, app)
    consent_expires_at = row.refresh_expires_at
    response = await flow.client.patch(url, headers=login(user))
    assert response.status_code == 200, response.text
    body = response.json()
    assert (body["status"], body["refresh_count"], body["error_count"]) == ("active", 1, 0)
    assert body["last_refreshed_at"] is not None

    row, after = await held(session, app)
    assert after.access_token != before.access_token
    assert flow.fake.provider.is_active(after.access_token)
    assert (after.refresh_token != before.refresh_token) is (switched == "rotate")
    # The seven days begin with the consent.
    assert row.refresh_expires_at == consent_expires_at
    assert [entry.action for entry in await audited(session)][-2:] == [
        "token.refresh_started",
        "token.refreshed",
    ]
    entry = (await audited(session, REFRESHED))[0]
    assert (entry.outcome, entry.details["refresh_token"]) == ("success", recorded)
    assert "interrupted_before" not in entry.details
    # And what is kept now is good for the next time.
    assert (await flow.client.patch(url, headers=login(user))).json()["refresh_count"] == 2


async def test_refresh_with_another_key(
    flow: OAuthFlow,
    app: FastAPI,
    session: AsyncSession,
    app_settings: Settings,
    url: str,
    user: User,
    login: Login,
    connected: None,
) -> None:
    """A refresh token that is kept is encrypted again: a row has one key."""
    switch(flow, refresh_token="omit")
    old = app.state.keyring
    new = "v6HpNmfQnEMu_Kti7urtz3HiD2IGvQHdhsciuCTLulY="
    app.state.keyring = type(old).parse(f"{new},{app_settings.encryption_key.get_secret_value()}")
    assert (await flow.client.patch(url, headers=login(user))).status_code == 200
    app.state.keyring = type(old).parse(new)
    row, tokens = await held(session, app)
    assert row.key_id == app.state.keyring.primary_id != old.primary_id
    assert tokens.refresh_token is not None


@pytest.mark.parametrize("lost", ["withdrawn", "unknown_here"])
async def test_refresh_after_the_consent(
    flow: OAuthFlow, session: AsyncSession, url: str, user: User, login: Login, connected: None, lost: str
) -> None:
    if lost == "withdrawn":
        flow.fake.provider.withdraw_consent()
    else:
        flow.fake.provider.reset()
    response = await flow.client.patch(url, headers=login(user))
    assert (response.status_code, code_of(response)) == (409, "consent-expired")
    assert "Connect again" in response.json()["detail"]
    status = (await flow.client.get(url, headers=login(user))).json()
    assert (status["status"], status["error_count"]) == ("expired", 0)
    assert status["last_error"] == "consent-expired"
    entry = (await audited(session, REFRESHED))[-1]
    assert (entry.outcome, entry.details["reason"]) == ("failure", "invalid_grant")
    # From now on nobody is asked.
    asked = flow.asked("refresh_token")
    assert code_of(await flow.client.patch(url, headers=login(user))) == "consent-expired"
    assert flow.asked("refresh_token") == asked


async def test_refresh_after_seven_days(
    flow: OAuthFlow, session: AsyncSession, url: str, user: User, login: Login, connected: None
) -> None:
    await change(session, ProviderToken, refresh_expires_at=datetime.now(UTC) - timedelta(seconds=1))
    response = await flow.client.patch(url, headers=login(user))
    assert (response.status_code, code_of(response)) == (409, "consent-expired")
    assert flow.asked("refresh_token") == 0
    body = (await flow.client.get(url, headers=login(user))).json()
    assert (body["status"], body["last_error"]) == ("expired", "consent-expired")
    entry = (await audited(session, REFRESHED))[-1]
    assert (entry.outcome, entry.details["reason"]) == ("failure", "refresh_token_expired")


async def test_connecting_again_heals(
    flow: OAuthFlow, url: str, user: User, provider: Provider, login: Login, connected: None
) -> None:
    flow.fake.provider.withdraw_consent()
    await flow.client.patch(url, headers=login(user))
    assert (await flow.connect(user, provider)).status_code == 200
    assert (await flow.client.patch(url, headers=login(user))).json()["status"] == "active"


@pytest.mark.parametrize("expired", [False, True])
async def test_refresh_without_a_refresh_token(
    flow: OAuthFlow,
    session: AsyncSession,
    url: str,
    user: User,
    provider: Provider,
    login: Login,
    expired: bool,
) -> None:
    switch(flow, refresh_token="never")
    await flow.connect(user, provider)
    if expired:
        await change(session, ProviderToken, expires_at=datetime.now(UTC))
    response = await flow.client.patch(url, headers=login(user))
    problem = "consent-expired" if expired else "no-refresh-token"
    assert (response.status_code, code_of(response)) == (409, problem)
    body = (await flow.client.get(url, headers=login(user))).json()
    assert (body["status"], body["last_error"]) == ("expired" if expired else "active", problem)
    assert body["last_error_detail"] == DETAILS[Reason(problem)]
    assert flow.asked("refresh_token") == 0
    assert (await audited(session, REFRESHED))[-1].outcome == "failure"


@pytest.mark.parametrize(
    ("answer", "status", "problem", "reason"),
    [
        ("server_error", 502, "provider-unavailable", "http_500"),
        ("slow", 504, "provider-timeout", "timeout"),
        ("html", 502, "provider-answer-invalid", "content_type"),
        ("not_json", 502, "provider-answer-invalid", "not_json"),
        ("oversized", 502, "provider-answer-invalid", "too_large"),
    ],
)
async def test_refresh_at_a_provider_that_fails(
    flow: OAuthFlow,
    app: FastAPI,
    session: AsyncSession,
    url: str,
    user: User,
    login: Login,
    connected: None,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    status: int,
    problem: str,
    reason: str,
) -> None:
    if answer == "slow":
        monkeypatch.setattr(transport, "TIMEOUT", 1.0)
    _, before = await held(session, app)
    switch(flow, answer=answer, refresh_token="same")
    for count in (1, 2):
        response = await flow.client.patch(url, headers=login(user))
        assert (response.status_code, code_of(response)) == (status, problem)
        body = (await flow.client.get(url, headers=login(user))).json()
        assert (body["status"], body["error_count"], body["last_error"]) == ("active", count, problem)
        entry = (await audited(session, REFRESHED))[-1]
        assert (entry.outcome, entry.details["reason"]) == ("failure", reason)
        assert "interrupted_before" not in entry.details
    assert (await held(session, app))[1] == before
    switch(flow, answer="normal")
    monkeypatch.setattr(transport, "TIMEOUT", 60.0)
    body = (await flow.client.patch(url, headers=login(user))).json()
    assert (body["status"], body["error_count"], body["last_error"]) == ("active", 0, None)


async def test_a_lost_consent_replaces_the_error_before_it(
    flow: OAuthFlow, url: str, user: User, login: Login, connected: None
) -> None:
    switch(flow, answer="server_error")
    await flow.client.patch(url, headers=login(user))
    switch(flow, answer="normal")
    flow.fake.provider.withdraw_consent()
    await flow.client.patch(url, headers=login(user))
    body = (await flow.client.get(url, headers=login(user))).json()
    assert (body["status"], body["last_error"]) == ("expired", "consent-expired")


async def test_refresh_with_wrong_credentials_of_ours(
    flow: OAuthFlow, session: AsyncSession, url: str, user: User, login: Login, connected: None
) -> None:
    """No consent is lost by it."""
    flow.fake.provider.client_secret, kept = "another", flow.fake.provider.client_secret
    response = await flow.client.patch(url, headers=login(user))
    flow.fake.provider.client_secret = kept
    assert (response.status_code, code_of(response)) == (502, "provider-refused")
    assert (await audited(session, REFRESHED))[-1].details["reason"] == "invalid_client"
    assert (await flow.client.patch(url, headers=login(user))).status_code == 200


@pytest.mark.parametrize("damage", [b"not encrypted", b""])
async def test_refresh_of_what_cannot_be_read(
    flow: OAuthFlow,
    session: AsyncSession,
    url: str,
    user: User,
    login: Login,
    connected: None,
    damage: bytes,
) -> None:
    await change(session, ProviderToken, refresh_token_encrypted=damage)
    response = await flow.client.patch(url, headers=login(user))
    assert (response.status_code, code_of(response)) == (409, "tokens-unreadable")
    body = (await flow.client.get(url, headers=login(user))).json()
    assert (body["status"], body["last_error"]) == ("active", "tokens-unreadable")
    assert flow.asked("refresh_token") == 0
    assert (await audited(session, REFRESHED))[-1].outcome == "failure"
    assert (await flow.client.delete(url, headers=login(user))).status_code == 204


@pytest.mark.parametrize("status", [None, "pending", "revoked"])
async def test_refresh_of_what_is_not_connected(
    client: httpx.AsyncClient,
    session: AsyncSession,
    url: str,
    user: User,
    provider: Provider,
    login: Login,
    status: str | None,
) -> None:
    if status is not None:
        await factories.connection(session, provider, status=status)
    response = await client.patch(url, headers=login(user))
    assert (response.status_code, code_of(response)) == (409, "not-connected")


async def test_refresh_is_limited(flow: OAuthFlow, url: str, user: User, login: Login) -> None:
    answers = [await flow.client.patch(url, headers=login(user)) for _ in range(21)]
    assert [answer.status_code for answer in answers] == [409] * 20 + [429]


async def test_an_interrupted_refresh_is_found(
    flow: OAuthFlow,
    session: AsyncSession,
    url: str,
    user: User,
    provider: Provider,
    login: Login,
    connected: None,
    context: Context,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What a process leaves that was killed while the provider answered."""
    await context.audit.record_alone(Action.TOKEN_REFRESH_STARTED, AuditTarget.from_provider(provider))
    assert (await flow.client.patch(url, headers=login(user))).status_code == 200
    assert (await audited(session, REFRESHED))[-1].details["interrupted_before"] is True
    assert "was interrupted" in caplog.text
    assert (await flow.client.patch(url, headers=login(user))).status_code == 200
    assert "interrupted_before" not in (await audited(session, REFRESHED))[-1].details


# Before it is needed


@pytest.fixture
async def context(app: FastAPI, sessions: async_sessionmaker[AsyncSession], session: AsyncSession) -> Context:
    state = app.state
    return Context(
        session=session,
        audit=AuditTrail(session, sessions, ClientInfo.from_request(IP_ADDRESS, None)),
        oauth=OAuth(state.settings, state.redis, state.keyring, state.provider_types),
    )


@pytest.mark.parametrize(("left", "refreshed"), [(301, 0), (295, 1), (0, 1), (-3600, 1)])
async def test_tokens_are_refreshed_five_minutes_ahead(
    flow: OAuthFlow,
    app: FastAPI,
    session: AsyncSession,
    context: Context,
    provider: Provider,
    connected: None,
    left: int,
    refreshed: int,
) -> None:
    _, before = await held(session, app)
    # Some room for a slow machine.
    margin = 60 if left > 300 else 0
    await change(session, ProviderToken, expires_at=datetime.now(UTC) + timedelta(seconds=left + margin))
    token = await refreshing.ensure_fresh(context, provider)
    assert flow.asked("refresh_token") == refreshed
    assert (token == before.access_token) is not bool(refreshed)
    assert flow.fake.provider.is_active(token)
    # The next one has nothing to do.
    assert await refreshing.ensure_fresh(context, provider) == token
    assert flow.asked("refresh_token") == refreshed


# Revoking


async def test_revoke(
    flow: OAuthFlow, session: AsyncSession, url: str, user: User, login: Login, connected: None
) -> None:
    response = await flow.client.delete(url, headers=login(user))
    assert (response.status_code, response.content) == (204, b"")
    assert await stored(session) == (1, 0)
    body = (await flow.client.get(url, headers=login(user))).json()
    assert (body["status"], body["access_token_expires_at"]) == ("revoked", None)
    # Schwab has nowhere to revoke.
    assert [entry.action for entry in await audited(session)][-1] == "authorization.revoked"
    # Again does no harm, and is nothing new.
    before = len(await audited(session))
    assert (await flow.client.delete(url, headers=login(user))).status_code == 204
    assert len(await audited(session)) == before


async def test_revoke_of_what_is_not_connected(
    client: httpx.AsyncClient, session: AsyncSession, url: str, user: User, login: Login
) -> None:
    assert (await client.delete(url, headers=login(user))).status_code == 204
    assert await audited(session) == []


@pytest.mark.parametrize("refresh_token", ["rotate", "never"])
@pytest.mark.parametrize(
    ("answer", "reason"), [("normal", None), ("server_error", "http_500"), ("slow", "timeout")]
)
async def test_revoke_at_a_provider_that_has_where(
    flow: OAuthFlow,
    app: FastAPI,
    session: AsyncSession,
    url: str,
    user: User,
    provider: Provider,
    login: Login,
    monkeypatch: pytest.MonkeyPatch,
    refresh_token: str,
    answer: str,
    reason: str | None,
) -> None:
    schwab = app.state.provider_types["schwab"]
    revoke_url = f"{flow.fake.url}/v1/oauth/revoke"
    app.state.provider_types = {"schwab": dataclasses.replace(schwab, revoke_url=revoke_url)}
    switch(flow, refresh_token=refresh_token)
    await flow.connect(user, provider)
    if answer == "slow":
        monkeypatch.setattr(transport, "TIMEOUT", 1.0)
    (access_token,) = next(iter(flow.fake.provider._codes.values())).access
    switch(flow, answer=answer)
    assert (await flow.client.delete(url, headers=login(user))).status_code == 204
    assert await stored(session) == (1, 0)
    if answer == "normal":
        assert not flow.fake.provider.is_active(access_token)
    entries = await audited(session)
    assert [entry.action for entry in entries][-2:] == ["authorization.revoked", "token.revoked_at_provider"]
    assert entries[-1].outcome == ("success" if reason is None else "failure")
    assert entries[-1].details.get("reason") == reason


async def test_connecting_again_after_revoking(
    flow: OAuthFlow,
    session: AsyncSession,
    url: str,
    user: User,
    provider: Provider,
    login: Login,
    connected: None,
) -> None:
    await flow.client.delete(url, headers=login(user))
    assert (await flow.connect(user, provider)).status_code == 200
    assert await stored(session) == (1, 1)
    assert (await flow.client.get(url, headers=login(user))).json()["status"] == "active"
