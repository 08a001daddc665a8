"""A user's own providers: made, found, changed, removed; and provider types."""

import dataclasses
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession

from src.connections.audit import Action
from src.core.config import Settings
from src.main import create_app
from src.models import Provider, User
from tests import factories
from tests.api.conftest import Login, without_redis
from tests.api.connections.test_relay import code_of
from tests.api.fake_schwab import Served
from tests.api.oauth_flow import OAuthFlow, audited, stored

PROVIDERS = "/api/v1/providers"


async def create(client: httpx.AsyncClient, headers: dict[str, str], **body: Any) -> httpx.Response:
    default = {"provider_key": "schwab", "alias": "Savings"}
    return await client.post(PROVIDERS, json=default | body, headers=headers)


# Provider types


async def test_provider_types(client: httpx.AsyncClient, user: User, login: Login) -> None:
    response = await client.get("/api/v1/provider-types", headers=login(user))
    assert response.status_code == 200
    (schwab,) = response.json()
    assert schwab == {
        "key": "schwab",
        "name": "Charles Schwab",
        "is_configured": True,
        "can_revoke": False,
        "consent_lifetime": 7 * 24 * 3600,
    }
    one = await client.get("/api/v1/provider-types/schwab", headers=login(user))
    assert (one.status_code, one.json()) == (200, schwab)


async def test_provider_types_show_no_secret(
    client: httpx.AsyncClient, app_settings: Settings, user: User, login: Login
) -> None:
    text = (await client.get("/api/v1/provider-types", headers=login(user))).text
    assert app_settings.schwab_api_key.get_secret_value() not in text
    assert app_settings.schwab_api_secret.get_secret_value() not in text


@pytest.mark.parametrize("key", ["nobody", "SCHWAB", "schwab%00", "%ED%A0%80", "x" * 50])
async def test_provider_types_that_are_none(
    client: httpx.AsyncClient, user: User, login: Login, key: str
) -> None:
    response = await client.get(f"/api/v1/provider-types/{key}", headers=login(user))
    assert (response.status_code, code_of(response)) == (404, "provider-type-not-found")


@pytest.mark.parametrize("missing", ["schwab_api_key", "schwab_api_secret"])
async def test_without_credentials(
    app: FastAPI,
    client: httpx.AsyncClient,
    app_settings: Settings,
    user: User,
    login: Login,
    missing: str,
) -> None:
    """Everything works but connecting, which says what is missing."""
    bare = create_app(app_settings.model_copy(update={missing: SecretStr("")}))
    app.state.provider_types = bare.state.provider_types
    types = (await client.get("/api/v1/provider-types", headers=login(user))).json()
    assert [each["is_configured"] for each in types] == [False]
    provider = (await create(client, login(user))).json()
    response = await client.post(f"{PROVIDERS}/{provider['id']}/authorization", headers=login(user))
    assert (response.status_code, code_of(response)) == (409, "provider-not-configured")


# Making and reading


async def test_create(client: httpx.AsyncClient, session: AsyncSession, user: User, login: Login) -> None:
    response = await create(client, login(user), alias="  Cafe\N{COMBINING ACUTE ACCENT} 日本  ")
    assert response.status_code == 201
    body = response.json()
    assert (body["alias"], body["provider_key"], body["is_active"]) == ("Café 日本", "schwab", True)
    assert (body["status"], body["connected_at"]) == ("pending", None)
    assert response.headers["location"] == f"{PROVIDERS}/{body['id']}"
    read = await client.get(response.headers["location"], headers=login(user))
    assert (read.status_code, read.json()) == (200, body)
    (entry,) = await audited(session)
    assert (entry.action, entry.outcome) == ("provider.created", "success")
    assert (entry.user_id, str(entry.provider_id)) == (user.id, body["id"])
    assert entry.provider_key == "schwab"


BAD_ALIASES = [
    "",
    "   ",
    "a\0b",
    "a\nb",
    "x" * 101,
    "\u2028",
    "e\N{COMBINING ACUTE ACCENT}" * 51,
    7,
    None,
    [],
    {},
]


@pytest.mark.parametrize("alias", BAD_ALIASES)
async def test_aliases_that_are_none(
    client: httpx.AsyncClient, session: AsyncSession, user: User, login: Login, alias: Any
) -> None:
    assert (await create(client, login(user), alias=alias)).status_code == 422
    assert await audited(session) == []


@pytest.mark.parametrize(
    "body",
    [
        rb'{"provider_key": "schwab", "alias": "\ud800"}',
        b'{"provider_key": "schwab", "alias": "\xff"}',
        rb'{"provider_key": "schwab", "alias": "a", "\ud800": 1}',
        b'{"provider_key": "schwab\\u0000", "alias": "a"}',
        b'{"provider_key": "schwab", "alias": "a", "user_id": "00000000-0000-0000-0000-000000000000"}',
        b'{"alias": "a"}',
        b"[]",
        b"null",
        b"",
        b"{",
        b"[" * 50_000,
    ],
)
async def test_bodies_that_are_none(client: httpx.AsyncClient, user: User, login: Login, body: bytes) -> None:
    headers = login(user) | {"Content-Type": "application/json"}
    response = await client.post(PROVIDERS, content=body, headers=headers)
    # FastAPI's answer to what is no JSON at all.
    expected = {422: "invalid-request", 400: "bad-request"}
    assert code_of(response) == expected[response.status_code]


async def test_type_that_is_none(client: httpx.AsyncClient, user: User, login: Login) -> None:
    response = await create(client, login(user), provider_key="nobody")
    assert (response.status_code, code_of(response)) == (422, "unknown-provider-type")
    assert response.json()["errors"][0]["loc"] == ["body", "provider_key"]


async def test_alias_is_unique_for_each_user(
    client: httpx.AsyncClient, session: AsyncSession, user: User, other_user: User, login: Login
) -> None:
    assert (await create(client, login(user))).status_code == 201
    response = await create(client, login(user))
    assert (response.status_code, code_of(response)) == (409, "alias-taken")
    assert (await create(client, login(other_user))).status_code == 201
    assert len(await audited(session)) == 2


# Somebody else's


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("GET", "/authorization"),
        ("POST", "/authorization"),
        ("PATCH", "/authorization"),
        ("DELETE", "/authorization"),
    ],
)
async def test_somebody_elses_is_not_there(
    client: httpx.AsyncClient,
    session: AsyncSession,
    other_user: User,
    provider: Provider,
    login: Login,
    flow: OAuthFlow,
    user: User,
    method: str,
    path: str,
) -> None:
    await flow.connect(user, provider)
    before = len(await audited(session))
    answers = []
    for provider_id in (provider.id, uuid.uuid4()):
        response = await client.request(
            method,
            f"{PROVIDERS}/{provider_id}{path}",
            headers=login(other_user),
            json={"alias": "Mine"} if (method, path) == ("PATCH", "") else None,
        )
        assert (response.status_code, code_of(response)) == (404, "provider-not-found")
        answers.append({name: value for name, value in response.json().items() if name != "request_id"})
    # Another user's provider and one that does not exist look the same.
    assert answers[0] == answers[1]
    assert await stored(session) == (1, 1)
    assert len(await audited(session)) == before
    own = await client.get(f"{PROVIDERS}/{provider.id}", headers=login(user))
    assert (own.json()["alias"], own.json()["status"]) == ("Savings", "active")


@pytest.mark.parametrize("provider_id", ["1", "x", "%00", "..", "00000000-0000-0000-0000-00000000000g"])
@pytest.mark.parametrize("path", ["", "/authorization"])
async def test_ids_that_are_none(
    client: httpx.AsyncClient, user: User, login: Login, provider_id: str, path: str
) -> None:
    response = await client.get(f"{PROVIDERS}/{provider_id}{path}", headers=login(user))
    assert response.status_code in {404, 422}


# Lists


async def listed(client: httpx.AsyncClient, headers: dict[str, str], **query: Any) -> dict[str, Any]:
    response = await client.get(PROVIDERS, params=query, headers=headers)
    assert response.status_code == 200, response.text
    page: dict[str, Any] = response.json()
    return page


def aliases(page: dict[str, Any]) -> list[str]:
    return [item["alias"] for item in page["items"]]


async def test_pages(
    client: httpx.AsyncClient, session: AsyncSession, user: User, other_user: User, login: Login
) -> None:
    for alias in "edcba":
        await factories.provider(session, user, alias=alias)
    await factories.provider(session, other_user, alias="f")
    headers = login(user)
    first = await listed(client, headers, sort="alias", per_page=2)
    assert aliases(first) == ["a", "b"]
    assert {name: first[name] for name in ("page", "per_page", "total", "pages")} == {
        "page": 1,
        "per_page": 2,
        "total": 5,
        "pages": 3,
    }
    assert aliases(await listed(client, headers, sort="alias", per_page=2, page=3)) == ["e"]
    behind = await listed(client, headers, per_page=2, page=1_000_000)
    assert (behind["items"], behind["total"]) == ([], 5)
    # Rows of the same time have an order all the same, so that no page repeats or leaves out one.
    pages = [await listed(client, headers, per_page=1, page=number) for number in range(1, 6)]
    assert sorted(alias for page in pages for alias in aliases(page)) == list("abcde")


async def test_nobody_has_none(client: httpx.AsyncClient, user: User, login: Login) -> None:
    page = await listed(client, login(user))
    assert (page["items"], page["total"], page["pages"]) == ([], 0, 0)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"sort": "alias"}, ["active", "broken", "ended", "new", "off", "over", "revoked"]),
        ({"sort": "-alias"}, ["revoked", "over", "off", "new", "ended", "broken", "active"]),
        ({"status": "active", "sort": "alias"}, ["active", "off"]),
        ({"status": "pending"}, ["new"]),
        ({"status": "expired", "sort": "alias"}, ["ended", "over"]),
        ({"status": "revoked"}, ["revoked"]),
        ({"status": "error"}, ["broken"]),
        ({"is_active": "false"}, ["off"]),
        ({"is_active": "true", "status": "active"}, ["active"]),
        ({"provider_key": "schwab", "status": "pending"}, ["new"]),
        ({"provider_key": "nobody"}, []),
        ({"sort": "-status", "per_page": 1}, ["revoked"]),
    ],
)
async def test_filters(
    client: httpx.AsyncClient,
    session: AsyncSession,
    user: User,
    login: Login,
    query: dict[str, Any],
    expected: list[str],
) -> None:
    past = datetime.now(UTC) - timedelta(minutes=1)
    await factories.provider(session, user, alias="new")
    statuses = {"active": "active", "off": "active", "ended": "expired"}
    for alias, status in (statuses | {"revoked": "revoked", "broken": "error"}).items():
        provider = await factories.provider(session, user, alias=alias, is_active=alias != "off")
        await factories.connection(session, provider, status=status)
    # Nothing marked it as expired, but nothing can be done with it any more.
    over = await factories.connection(session, await factories.provider(session, user, alias="over"))
    await factories.token(
        session, over, expires_at=past, refresh_token_encrypted=b"x", refresh_expires_at=past
    )
    assert aliases(await listed(client, login(user), **query)) == expected


@pytest.mark.parametrize(
    "query",
    [
        {"page": 0},
        {"page": -1},
        {"page": 1_000_001},
        {"page": 10**30},
        {"page": "x"},
        {"per_page": 0},
        {"per_page": 101},
        {"per_page": 10**30},
        {"sort": "password_hash"},
        {"sort": "--alias"},
        {"sort": "alias;--"},
        {"status": "\0"},
        {"provider_key": "\0"},
        {"provider_key": "'"},
        {"provider_key": "x" * 51},
        {"is_active": "\0"},
    ],
)
async def test_queries_that_are_none(
    client: httpx.AsyncClient, user: User, login: Login, query: dict[str, Any]
) -> None:
    response = await client.get(PROVIDERS, params=query, headers=login(user))
    assert (response.status_code, code_of(response)) == (422, "invalid-request")


# Changing


async def test_change(
    client: httpx.AsyncClient, session: AsyncSession, user: User, provider: Provider, login: Login
) -> None:
    url = f"{PROVIDERS}/{provider.id}"
    before = (await client.get(url, headers=login(user))).json()
    changed = await client.patch(url, json={"alias": "Checking", "is_active": False}, headers=login(user))
    assert changed.status_code == 200
    assert changed.json() == before | {
        "alias": "Checking",
        "is_active": False,
        "updated_at": changed.json()["updated_at"],
    }
    assert (await client.get(url, headers=login(user))).json() == changed.json()
    (entry,) = await audited(session, Action.PROVIDER_UPDATED)
    assert entry.details["changed"] == ["alias", "is_active"]
    # Nothing new is no change.
    for body in ({}, {"alias": "Checking"}):
        response = await client.patch(url, json=body, headers=login(user))
        assert (response.status_code, response.json()) == (200, changed.json())
    assert len(await audited(session, Action.PROVIDER_UPDATED)) == 1


@pytest.mark.parametrize(
    "body",
    [*({"alias": alias} for alias in BAD_ALIASES), {"is_active": None}, {"provider_key": "schwab"}, []],
)
async def test_changes_that_are_none(
    client: httpx.AsyncClient,
    session: AsyncSession,
    user: User,
    provider: Provider,
    login: Login,
    body: Any,
) -> None:
    response = await client.patch(f"{PROVIDERS}/{provider.id}", json=body, headers=login(user))
    assert response.status_code == 422
    assert await audited(session) == []


async def test_change_to_an_alias_in_use(
    client: httpx.AsyncClient, session: AsyncSession, user: User, provider: Provider, login: Login
) -> None:
    await factories.provider(session, user, alias="Checking")
    response = await client.patch(
        f"{PROVIDERS}/{provider.id}", json={"alias": "Checking"}, headers=login(user)
    )
    assert (response.status_code, code_of(response)) == (409, "alias-taken")
    assert (await client.get(f"{PROVIDERS}/{provider.id}", headers=login(user))).json()["alias"] == "Savings"


# Removing


async def test_delete(
    flow: OAuthFlow, session: AsyncSession, user: User, provider: Provider, login: Login
) -> None:
    provider_id = provider.id
    await flow.connect(user, provider)
    url = f"{PROVIDERS}/{provider_id}"
    response = await flow.client.delete(url, headers=login(user))
    assert (response.status_code, response.content) == (204, b"")
    assert await stored(session) == (0, 0)
    for method in ("GET", "DELETE"):
        assert (await flow.client.request(method, url, headers=login(user))).status_code == 404
    entries = await audited(session)
    assert [entry.action for entry in entries] == [
        "authorization.started",
        "authorization.opened",
        "authorization.completed",
        "provider.deleted",
    ]
    assert {entry.provider_id for entry in entries} == {provider_id}
    assert entries[-1].connection_id == entries[-2].connection_id is not None


@pytest.fixture
def revocable(app: FastAPI, fake_schwab: Served) -> None:
    """Schwab, as if it had an endpoint for revocation."""
    schwab = app.state.provider_types["schwab"]
    changed = dataclasses.replace(schwab, revoke_url=f"{fake_schwab.url}/v1/oauth/revoke")
    app.state.provider_types = {"schwab": changed}


@pytest.mark.usefixtures("revocable")
@pytest.mark.parametrize(("answer", "reason"), [("normal", None), ("server_error", "http_500")])
async def test_delete_revokes_at_a_provider_that_has_where(
    flow: OAuthFlow,
    session: AsyncSession,
    user: User,
    provider: Provider,
    login: Login,
    answer: str,
    reason: str | None,
) -> None:
    await flow.connect(user, provider)
    (access_token,) = next(iter(flow.fake.provider._codes.values())).access
    flow.fake.provider.switches = flow.fake.provider.switches.model_copy(update={"answer": answer})
    response = await flow.client.delete(f"{PROVIDERS}/{provider.id}", headers=login(user))
    assert response.status_code == 204
    assert await stored(session) == (0, 0)
    assert flow.fake.provider.is_active(access_token) is (reason is not None)
    entry = (await audited(session))[-1]
    assert (entry.action, entry.details.get("reason")) == ("token.revoked_at_provider", reason)
    assert entry.outcome == ("success" if reason is None else "failure")


async def test_reading_needs_no_redis(
    client: httpx.AsyncClient, app: FastAPI, user: User, provider: Provider, login: Login
) -> None:
    async with without_redis(app):
        for path in ("", f"/{provider.id}", f"/{provider.id}/authorization"):
            assert (await client.get(f"{PROVIDERS}{path}", headers=login(user))).status_code == 200
        assert (await create(client, login(user), alias="Other")).status_code == 201
        assert (await client.delete(f"{PROVIDERS}/{provider.id}", headers=login(user))).status_code == 204
