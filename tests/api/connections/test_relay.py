"""What the callback server relays: the way that works, and one by one the ways that must not."""

import hashlib
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis
from redis.client import NEVER_DECODE
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from src.connections import results, transport
from src.connections.audit import Action
from src.connections.browser import cookie_name
from src.connections.flows import PURPOSE
from src.core.database import create_engine, create_sessions
from src.core.security.encryption import Keyring
from src.models import Provider, ProviderConnection, ProviderToken, User
from src.models.provider import AuditOutcome
from tests import factories
from tests.api.conftest import Login, without_redis
from tests.api.oauth_flow import IP_ADDRESS, USER_AGENT, OAuthFlow, Opened, audited, stored

COMPLETED = Action.AUTHORIZATION_COMPLETED


def code_of(response: httpx.Response) -> str:
    assert response.headers["content-type"] == "application/problem+json", response.text
    return str(response.json()["type"]).removeprefix("urn:dashtam:problem:")


async def assert_refused(
    response: httpx.Response,
    session: AsyncSession,
    status: int,
    code: str,
    target: Provider | None,
    connections: int = 0,
) -> dict[str, Any]:
    """The answer, that nothing was stored, and the one entry in the log; its details."""
    assert (response.status_code, code_of(response)) == (status, code)
    assert await stored(session) == (connections, connections)
    entry = (await audited(session, COMPLETED))[-1]
    assert entry.outcome == AuditOutcome.FAILURE
    assert entry.details["problem"] == code
    if target is None:
        assert (entry.user_id, entry.provider_id, entry.provider_key) == (None, None, None)
    else:
        assert entry.user_id == target.user_id
        assert entry.provider_id == target.id
        assert entry.provider_key == target.provider_key
    assert (str(entry.ip_address), entry.user_agent) == (IP_ADDRESS, USER_AGENT)
    return entry.details


async def test_the_way_that_works(
    flow: OAuthFlow, app: FastAPI, session: AsyncSession, user: User, provider: Provider
) -> None:
    began = datetime.now(UTC)
    response = await flow.connect(user, provider)
    assert response.status_code == 200, response.text
    result = results.unseal(app.state.keyring, response.json()["result"])
    assert (result.user_id, result.provider_id, result.problem) == (user.id, provider.id, None)

    connection = (await session.scalars(select(ProviderConnection))).one()
    token = (await session.scalars(select(ProviderToken))).one()
    assert (connection.provider_id, connection.status) == (provider.id, "active")
    assert connection.connected_at is not None
    assert began <= connection.connected_at <= datetime.now(UTC)
    assert token.connection_id == connection.id
    assert began <= token.expires_at - timedelta(minutes=30) <= datetime.now(UTC)
    assert token.refresh_expires_at == connection.connected_at + timedelta(days=7)
    assert (token.scope, token.token_type, token.refresh_count) == ("api", "Bearer", 0)

    keyring: Keyring = app.state.keyring
    assert token.key_id == keyring.primary_id
    access_token = keyring.decrypt(
        token.access_token_encrypted,
        table="provider_tokens",
        column="access_token_encrypted",
        row_id=token.id,
    )
    assert flow.fake.provider.is_active(access_token)
    assert access_token.encode() not in token.access_token_encrypted

    actions = [(entry.action, entry.outcome) for entry in await audited(session)]
    assert actions == [
        ("authorization.started", "success"),
        ("authorization.opened", "success"),
        ("authorization.completed", "success"),
    ]
    entry = (await audited(session, COMPLETED))[0]
    assert (entry.user_id, entry.provider_id, entry.connection_id) == (user.id, provider.id, connection.id)
    assert entry.details["refresh_token"] is True


async def test_nothing_secret_is_logged_or_audited(
    flow: OAuthFlow,
    session: AsyncSession,
    user: User,
    provider: Provider,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    opened = await flow.open(user, provider)
    answer = await flow.consent(opened)
    assert (await flow.complete(answer, opened.cookies)).status_code == 200
    assert (await flow.complete(answer, opened.cookies)).status_code == 400
    entries = "\n".join(str(entry) for entry in await audited(session))
    assert "authorization.completed" in entries
    grant = next(iter(flow.fake.provider._codes.values()))
    secrets = [answer["code"], answer["state"], *opened.cookies.values(), *grant.access, str(grant.refresh)]
    # httpx is this test's browser, uvicorn the fake's.
    lines = [line for line in caplog.records if not line.name.startswith(("http", "uvicorn"))]
    logged = "\n".join(f"{line.getMessage()} {line.__dict__}" for line in lines)
    assert "src.core.web.requests" in logged
    assert not [secret for secret in secrets if secret in entries or secret in logged]


async def test_redis_has_hashes_alone(
    flow: OAuthFlow, app: FastAPI, redis: Redis, redis_prefix: str, user: User, provider: Provider
) -> None:
    opened = await flow.open(user, provider)
    keys = [key async for key in redis.scan_iter(f"{redis_prefix}oauth:*")]
    assert len(keys) == 1
    assert 590 < await redis.ttl(keys[0]) <= 600
    assert opened.state not in keys[0]
    # Not even to those who have the app's keys.
    record = await redis.execute_command("GET", keys[0], **{NEVER_DECODE: True})
    told = json.loads(app.state.keyring.derived(PURPOSE).unseal(record, keys[0].encode(), where=keys[0]))
    (cookie,) = opened.cookies.values()
    assert told["provider_id"] == str(provider.id)
    assert told["browser"] == hashlib.sha256(cookie.encode()).hexdigest()
    assert not {opened.state, cookie} & set(map(str, told.values()))


async def test_again_replaces_the_tokens(
    flow: OAuthFlow, session: AsyncSession, user: User, provider: Provider
) -> None:
    await flow.connect(user, provider)
    before = (await session.scalars(select(ProviderToken.access_token_encrypted))).one()
    assert (await flow.connect(user, provider)).status_code == 200
    assert await stored(session) == (1, 1)
    assert (await session.scalars(select(ProviderToken.access_token_encrypted))).one() != before
    assert (await audited(session, COMPLETED))[-1].details["again"] is True


async def test_two_flows_at_once_both_finish(flow: OAuthFlow, user: User, provider: Provider) -> None:
    """One browser with two tabs has both cookies."""
    first, second = await flow.open(user, provider), await flow.open(user, provider)
    cookies = first.cookies | second.cookies
    assert len(cookies) == 2
    for opened in (first, second):
        assert (await flow.complete(await flow.consent(opened), cookies)).status_code == 200


# State


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (None, "state-missing"),
        ("", "state-invalid"),
        ("short", "state-invalid"),
        ("A" * 43, "state-invalid"),
        ("A" * 10_000, "state-invalid"),
        ("é" * 43, "state-invalid"),
        ("A" * 42 + "\0", "state-invalid"),
        ("A" * 43 + "\n", "state-invalid"),
        ("*", "state-invalid"),
        ("' OR 1=1 --", "state-invalid"),
    ],
)
async def test_state_that_is_none(
    flow: OAuthFlow, session: AsyncSession, user: User, provider: Provider, state: str | None, code: str
) -> None:
    opened = await flow.open(user, provider)
    answer = await flow.consent(opened)
    answer = {name: value for name, value in (answer | {"state": state}).items() if value is not None}
    await assert_refused(await flow.complete(answer, opened.cookies), session, 400, code, None)
    assert flow.asked("authorization_code") == 0


async def test_state_is_used_once(
    flow: OAuthFlow, session: AsyncSession, user: User, provider: Provider
) -> None:
    opened = await flow.open(user, provider)
    answer = await flow.consent(opened)
    assert (await flow.complete(answer, opened.cookies)).status_code == 200
    response = await flow.complete(answer, opened.cookies)
    await assert_refused(response, session, 400, "state-invalid", None, connections=1)
    assert flow.asked("authorization_code") == 1


async def test_state_expires(
    flow: OAuthFlow,
    session: AsyncSession,
    redis: Redis,
    redis_prefix: str,
    user: User,
    provider: Provider,
) -> None:
    opened = await flow.open(user, provider)
    answer = await flow.consent(opened)
    (key,) = [key async for key in redis.scan_iter(f"{redis_prefix}oauth:state:*")]
    # At a moment in the past: Redis removes the key at once.
    await redis.pexpireat(key, 1)
    response = await flow.complete(answer, opened.cookies)
    await assert_refused(response, session, 400, "state-invalid", None)


async def test_state_of_another_user(
    flow: OAuthFlow, session: AsyncSession, user: User, other_user: User, provider: Provider
) -> None:
    """Somebody brings their own consent to another's flow, and the other way round."""
    others = await factories.provider(session, other_user)
    mine, theirs = await flow.open(user, provider), await flow.open(other_user, others)
    my_answer = await flow.consent(mine)
    swapped = my_answer | {"state": theirs.state}
    await assert_refused(await flow.complete(swapped, mine.cookies), session, 400, "other-browser", others)
    # With the cookie under the other's name, too.
    (cookie,) = mine.cookies.values()
    theirs = await flow.open(other_user, others)
    response = await flow.complete(my_answer | {"state": theirs.state}, {cookie_name(theirs.state): cookie})
    await assert_refused(response, session, 400, "other-browser", others)
    assert flow.asked("authorization_code") == 0


async def test_state_of_another_provider(
    flow: OAuthFlow, session: AsyncSession, user: User, provider: Provider
) -> None:
    """The code of one consent does not connect the other: its verifier does not fit."""
    second = await factories.provider(session, user)
    one, other = await flow.open(user, provider), await flow.open(user, second)
    answer = await flow.consent(one) | {"state": other.state}
    response = await flow.complete(answer, one.cookies | other.cookies)
    await assert_refused(response, session, 400, "code-refused", second)
    assert flow.asked("authorization_code") == 1


@pytest.mark.parametrize("cookie", [None, "", "A" * 43, "A" * 9000, "\0", "é"])
async def test_another_browser(
    flow: OAuthFlow, session: AsyncSession, user: User, provider: Provider, cookie: str | None
) -> None:
    opened = await flow.open(user, provider)
    answer = await flow.consent(opened)
    cookies = {} if cookie is None else dict.fromkeys(opened.cookies, cookie)
    await assert_refused(await flow.complete(answer, cookies), session, 400, "other-browser", provider)
    # And that was its one chance.
    await assert_refused(await flow.complete(answer, opened.cookies), session, 400, "state-invalid", None)
    assert flow.asked("authorization_code") == 0


async def test_a_link_that_nobody_opened(
    flow: OAuthFlow, session: AsyncSession, user: User, provider: Provider
) -> None:
    state = (await flow.start(user, provider))["state"]
    cookies = {cookie_name(state): "A" * 43}
    response = await flow.complete({"state": state, "code": "C0de"}, cookies)
    await assert_refused(response, session, 400, "other-browser", provider)


@pytest.mark.parametrize("names", [["code"], ["state"], ["error"], ["code", "state"], ["error_description"]])
async def test_parameters_that_came_twice(
    flow: OAuthFlow, session: AsyncSession, user: User, provider: Provider, names: list[str]
) -> None:
    opened = await flow.open(user, provider)
    answer = {name: value for name, value in (await flow.consent(opened)).items() if name not in names}
    response = await flow.complete(answer, opened.cookies, duplicated=names)
    target = None if "state" in names else provider
    details = await assert_refused(response, session, 400, "parameter-repeated", target)
    assert details["repeated"] == sorted(names)
    assert flow.asked("authorization_code") == 0


# Code


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        (None, "code-missing"),
        ("", "code-invalid"),
        ("C0\0de", "code-invalid"),
        ("C0de\r\nSet-Cookie: a=b", "code-invalid"),
        ("é", "code-invalid"),
        ("A" * 4097, "code-invalid"),
        ("unknown", "code-refused"),
        ("a&grant_type=refresh_token", "code-refused"),
    ],
)
async def test_code_that_is_none(
    flow: OAuthFlow, session: AsyncSession, user: User, provider: Provider, code: str | None, problem: str
) -> None:
    opened = await flow.open(user, provider)
    answer = {"state": opened.state} | ({} if code is None else {"code": code})
    await assert_refused(await flow.complete(answer, opened.cookies), session, 400, problem, provider)


async def test_code_is_used_once(
    flow: OAuthFlow, session: AsyncSession, user: User, provider: Provider
) -> None:
    """A code that was seen does not help in a flow of one's own, in one's own browser."""
    second = await factories.provider(session, user)
    first = await flow.open(user, provider)
    answer = await flow.consent(first)
    assert (await flow.complete(answer, first.cookies)).status_code == 200
    replaying = await flow.open(user, second)
    replayed = {"code": answer["code"], "state": replaying.state}
    response = await flow.complete(replayed, replaying.cookies)
    await assert_refused(response, session, 400, "code-refused", second, connections=1)


@pytest.mark.parametrize("switches", [{"code": "expired"}, {"verifier": "mismatch"}])
async def test_code_that_the_provider_refuses(
    flow: OAuthFlow, session: AsyncSession, user: User, provider: Provider, switches: dict[str, str]
) -> None:
    flow.fake.provider.switches = flow.fake.provider.switches.model_copy(update=switches)
    details = await assert_refused(await flow.connect(user, provider), session, 400, "code-refused", provider)
    assert details["reason"] == "invalid_grant"


# Errors of the provider's page


@pytest.mark.parametrize(
    ("error", "problem", "kept"),
    [
        ("access_denied", "access-denied", None),
        ("server_error", "provider-error", "server_error"),
        ("temporarily_unavailable", "provider-error", "temporarily_unavailable"),
        ("<script>alert(1)</script>", "provider-error", "unknown_error"),
        ("x" * 9000, "provider-error", "unknown_error"),
        ("\0\r\n", "provider-error", "unknown_error"),
    ],
)
async def test_error_answers(
    flow: OAuthFlow,
    session: AsyncSession,
    user: User,
    provider: Provider,
    error: str,
    problem: str,
    kept: str | None,
) -> None:
    opened = await flow.open(user, provider)
    answer = {"state": opened.state, "error": error, "error_description": "<b>Bad</b>\r\nX: y" * 100}
    # A code beside an error counts for nothing.
    response = await flow.complete(answer | {"code": "C0de"}, opened.cookies)
    details = await assert_refused(response, session, 400, problem, provider)
    assert details.get("error") == kept
    assert "<" not in response.text
    assert "Bad" not in str(details)
    assert flow.asked("authorization_code") == 0


@pytest.mark.parametrize("consent", ["denied", "server_error"])
async def test_errors_that_the_provider_sends(
    flow: OAuthFlow, session: AsyncSession, user: User, provider: Provider, consent: str
) -> None:
    flow.fake.provider.switches = flow.fake.provider.switches.model_copy(update={"consent": consent})
    problem = "access-denied" if consent == "denied" else "provider-error"
    await assert_refused(await flow.connect(user, provider), session, 400, problem, provider)


# What happened meanwhile

Meanwhile = Callable[[OAuthFlow, AsyncSession, User, Provider], Awaitable[Any]]


async def _remove(flow: OAuthFlow, session: AsyncSession, user: User, provider: Provider) -> None:
    response = await flow.client.delete(f"/api/v1/providers/{provider.id}", headers=flow.login(user))
    assert response.status_code == 204


async def _switch_off(flow: OAuthFlow, session: AsyncSession, user: User, provider: Provider) -> None:
    response = await flow.client.patch(
        f"/api/v1/providers/{provider.id}", json={"is_active": False}, headers=flow.login(user)
    )
    assert response.status_code == 200


async def _lock_out(flow: OAuthFlow, session: AsyncSession, user: User, provider: Provider) -> None:
    user.is_active = False
    session.add(user)
    await session.commit()


async def _give_away(flow: OAuthFlow, session: AsyncSession, user: User, provider: Provider) -> None:
    other = await factories.user(session)
    row = await session.get(Provider, provider.id)
    assert row is not None
    row.user_id = other.id
    await session.commit()


@pytest.mark.parametrize(
    ("meanwhile", "because"),
    [
        (_remove, "provider-not-found"),
        (_switch_off, "provider-inactive"),
        (_lock_out, "user-inactive"),
        (_give_away, "provider-not-found"),
    ],
)
async def test_what_was_to_be_connected_is_gone(
    flow: OAuthFlow,
    session: AsyncSession,
    user: User,
    provider: Provider,
    meanwhile: Meanwhile,
    because: str,
) -> None:
    opened = await flow.open(user, provider)
    answer = await flow.consent(opened)
    whose = Provider(id=provider.id, user_id=user.id, provider_key="schwab", alias="")
    await meanwhile(flow, session, user, provider)
    response = await flow.complete(answer, opened.cookies)
    details = await assert_refused(response, session, 400, "provider-gone", whose)
    assert details["because"] == because
    assert flow.asked("authorization_code") == 0


# The provider


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
async def test_provider_that_fails(
    flow: OAuthFlow,
    session: AsyncSession,
    user: User,
    provider: Provider,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    status: int,
    problem: str,
    reason: str,
) -> None:
    if answer == "slow":
        monkeypatch.setattr(transport, "TIMEOUT", 1.0)
    flow.fake.provider.switches = flow.fake.provider.switches.model_copy(update={"answer": answer})
    response = await flow.connect(user, provider)
    details = await assert_refused(response, session, status, problem, provider)
    assert details["reason"] == reason


# Links


async def begin(flow: OAuthFlow, **query: Any) -> httpx.Response:
    return await flow.relay("begin", query)


async def ticket_of(flow: OAuthFlow, user: User, provider: Provider) -> dict[str, str]:
    link = httpx.URL((await flow.start(user, provider))["auth_url"])
    assert f"{link.scheme}://{link.netloc.decode()}" == flow.settings.schwab_redirect_uri
    assert link.path == "/authorize"
    return dict(link.params)


async def assert_link_refused(response: httpx.Response, session: AsyncSession) -> None:
    assert (response.status_code, code_of(response)) == (400, "link-invalid")
    entry = (await audited(session, Action.AUTHORIZATION_OPENED))[-1]
    assert (entry.outcome, entry.details["problem"]) == ("failure", "link-invalid")


async def test_a_link_opens_once(
    flow: OAuthFlow, session: AsyncSession, user: User, provider: Provider
) -> None:
    query = await ticket_of(flow, user, provider)
    first = await begin(flow, **query)
    assert first.status_code == 200
    await assert_link_refused(await begin(flow, **query), session)
    # The first browser is not disturbed.
    opened = Opened(
        query["state"],
        first.json()["authorization_url"],
        {first.json()["cookie_name"]: first.json()["cookie_value"]},
    )
    assert (await flow.complete(await flow.consent(opened), opened.cookies)).status_code == 200


async def test_where_a_link_leads(flow: OAuthFlow, user: User, provider: Provider) -> None:
    response = (await begin(flow, **await ticket_of(flow, user, provider))).json()
    url = httpx.URL(response["authorization_url"])
    assert f"{url.scheme}://{url.netloc.decode()}" == flow.fake.url
    parameters = dict(url.params)
    assert parameters["redirect_uri"] == flow.settings.schwab_redirect_uri
    assert parameters["response_type"] == "code"
    assert parameters["code_challenge_method"] == "S256"
    assert len(parameters["code_challenge"]) == 43
    assert response["cookie_name"] == cookie_name(parameters["state"])
    assert response["cookie_name"].startswith("__Host-dashtam-")
    assert response["max_age"] == 600


@pytest.mark.parametrize(
    "change",
    [
        {"ticket": "A" * 43},
        {"ticket": ""},
        {"ticket": "\0"},
        {"ticket": "A" * 10_000},
        {"state": "A" * 43},
        {"state": ""},
        {"state": "é" * 43},
    ],
)
async def test_a_link_that_was_changed(
    flow: OAuthFlow, session: AsyncSession, user: User, provider: Provider, change: dict[str, str]
) -> None:
    query = await ticket_of(flow, user, provider)
    await assert_link_refused(await begin(flow, **query | change), session)


async def test_a_link_with_anothers_state(
    flow: OAuthFlow, session: AsyncSession, user: User, other_user: User, provider: Provider
) -> None:
    """A ticket of my own does not make my browser that of another's flow."""
    mine = await ticket_of(flow, user, provider)
    theirs = await ticket_of(flow, other_user, await factories.provider(session, other_user))
    response = await begin(flow, ticket=mine["ticket"], state=theirs["state"])
    await assert_link_refused(response, session)
    assert (await begin(flow, **theirs)).status_code == 200


async def test_a_link_of_a_removed_provider(
    flow: OAuthFlow, session: AsyncSession, user: User, provider: Provider
) -> None:
    query = await ticket_of(flow, user, provider)
    await _remove(flow, session, user, provider)
    response = await begin(flow, **query)
    assert (response.status_code, code_of(response)) == (400, "provider-gone")
    entry = (await audited(session, Action.AUTHORIZATION_OPENED))[-1]
    assert (entry.outcome, entry.user_id) == ("failure", user.id)


# Who may ask, and how often


@pytest.mark.parametrize("endpoint", ["begin", "complete"])
@pytest.mark.parametrize("given", [None, "Bearer wrong", "Bearer é", "Basic {token}", "{token}", "user"])
async def test_only_the_callback_server_may_ask(
    flow: OAuthFlow, session: AsyncSession, user: User, login: Login, endpoint: str, given: str | None
) -> None:
    headers: dict[str, Any] = {}
    if given == "user":
        headers |= login(user)
    elif given is not None:
        token = flow.settings.relay_token.get_secret_value()
        headers |= {"Authorization": given.format(token=token).encode("latin-1")}
    response = await flow.client.post(f"/api/v1/internal/oauth/{endpoint}", json={}, headers=headers)
    assert (response.status_code, code_of(response)) == (401, "not-the-callback-server")
    assert response.headers["www-authenticate"] == "Bearer"
    assert await audited(session) == []


async def test_an_address_has_so_many_attempts(flow: OAuthFlow, user: User, provider: Provider) -> None:
    opened = await flow.open(user, provider)
    answer = await flow.consent(opened)
    while (response := await flow.complete({"state": "x"}, {})).status_code == 400:
        pass
    assert (response.status_code, code_of(response)) == (429, "rate-limited")
    assert 0 < int(response.headers["retry-after"]) <= 60
    # Another's address is not concerned, and the flow was not touched.
    response = await flow.complete(answer, opened.cookies, ip_address="203.0.113.8")
    assert response.status_code == 200


async def test_addresses_and_agents_that_are_none(flow: OAuthFlow, session: AsyncSession) -> None:
    given = [("not an address", "é\0\r\n" + "x" * 9000), ("fe80::1%eth0", None), (None, "")]
    for ip_address, user_agent in given:
        response = await flow.complete({}, {}, ip_address=ip_address, user_agent=user_agent)
        assert code_of(response) == "state-missing"
    first, second, third = await audited(session, COMPLETED)
    assert first.ip_address is None
    assert first.user_agent is not None
    assert first.user_agent.startswith("é\N{REPLACEMENT CHARACTER}")
    assert len(first.user_agent) == 300
    assert (str(second.ip_address), second.user_agent) == ("fe80::1", None)
    assert (third.ip_address, third.user_agent) == (None, None)


async def test_without_redis(flow: OAuthFlow, app: FastAPI, user: User, provider: Provider) -> None:
    opened = await flow.open(user, provider)
    answer = await flow.consent(opened)
    async with without_redis(app):
        for response in (
            await flow.complete(answer, opened.cookies),
            await begin(flow, ticket="A" * 43, state="A" * 43),
        ):
            assert (response.status_code, code_of(response)) == (503, "service-unavailable")
    assert (await flow.complete(answer, opened.cookies)).status_code == 200


async def test_without_a_database_the_flow_stays(
    flow: OAuthFlow, app: FastAPI, user: User, provider: Provider
) -> None:
    opened = await flow.open(user, provider)
    answer = await flow.consent(opened)
    url = type(flow.settings.app_database_url)("postgresql+asyncpg://a:b@127.0.0.1:1/dashtam_test")
    away = create_engine(flow.settings.model_copy(update={"app_database_url": url}))
    sessions, app.state.sessions = app.state.sessions, create_sessions(away)
    response = await flow.complete(answer, opened.cookies)
    assert (response.status_code, code_of(response)) == (503, "service-unavailable")
    app.state.sessions = sessions
    assert (await flow.complete(answer, opened.cookies)).status_code == 200
    await away.dispose()
