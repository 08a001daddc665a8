"""Nobody sees or changes what is another user's: every route of the app, each in one of four classes.

A route that is in none fails a test, so that whoever adds one says whose it is.
"""

import uuid
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from src.core.config import Settings
from src.core.web import docs
from src.models import Provider, ProviderAuditLog, ProviderConnection, ProviderToken, RefreshToken, User
from tests import factories

from .conftest import Login

API = "/api/v1"
Route = tuple[str, str]

# What is asked for without being anybody, or with a token of its own in the request.
OPEN: set[Route] = {
    ("GET", "/health"),
    ("GET", "/ready"),
    ("GET", "/"),
    ("GET", "/docs"),
    *(("GET", f"/docs/{file}") for file in docs.FILES),
    # Pages of mailed links, whose tokens say whose they are.
    *((method, page) for method in ("GET", "POST") for page in ("/verify-email", "/reset-password")),
    ("GET", "/openapi.json"),
    ("POST", f"{API}/auth/register"),
    ("POST", f"{API}/auth/verify-email"),
    ("POST", f"{API}/auth/login"),
    ("POST", f"{API}/auth/refresh"),
    ("POST", f"{API}/auth/logout"),
    ("POST", f"{API}/password-resets"),
    ("GET", f"{API}/password-resets/{{token}}"),
    ("PATCH", f"{API}/password-resets/{{token}}"),
}
# What names nobody's property in its address: whoever asks gets their own, or what is everybody's.
OWN: dict[Route, Any] = {
    ("GET", f"{API}/auth/me"): None,
    ("PATCH", f"{API}/auth/me"): {"name": "Somebody else"},
    ("GET", f"{API}/provider-types"): None,
    ("GET", f"{API}/provider-types/{{key}}"): None,
    ("GET", f"{API}/providers"): None,
    ("POST", f"{API}/providers"): {"provider_key": "schwab", "alias": "Mine"},
}
# What is one user's property, by its id, and what is sent to it.
OWNED: dict[Route, Any] = {
    ("GET", f"{API}/providers/{{provider_id}}"): None,
    ("PATCH", f"{API}/providers/{{provider_id}}"): {"alias": "Taken", "is_active": False},
    ("DELETE", f"{API}/providers/{{provider_id}}"): None,
    ("POST", f"{API}/providers/{{provider_id}}/authorization"): None,
    ("GET", f"{API}/providers/{{provider_id}}/authorization"): None,
    ("PATCH", f"{API}/providers/{{provider_id}}/authorization"): None,
    ("DELETE", f"{API}/providers/{{provider_id}}/authorization"): None,
}
# For the callback server, which shows RELAY_TOKEN.
RELAY: dict[Route, Any] = {
    ("POST", f"{API}/internal/oauth/begin"): {"ticket": "t", "state": "s"},
    ("POST", f"{API}/internal/oauth/complete"): {"code": "c", "state": "s"},
    ("POST", f"{API}/internal/oauth/result"): {"result": "r"},
}
TABLES: tuple[type[SQLModel], ...] = (
    *(User, RefreshToken),
    *(Provider, ProviderConnection, ProviderToken, ProviderAuditLog),
)


def name(route: Route) -> str:
    return " ".join(route)


def test_every_route_is_in_one_class(app: FastAPI) -> None:
    routes = {
        (method, str(context.path))
        for context in iter_route_contexts(app.routes)
        for method in getattr(context, "methods", None) or ()
        if method != "HEAD"
    }
    classes = [OPEN, OWN.keys(), OWNED.keys(), RELAY.keys()]
    assert routes == set().union(*classes)
    assert len(routes) == sum(map(len, classes)), "one is in two classes"
    assert {route for route in routes if "_id}" in route[1]} == OWNED.keys()


@pytest.fixture
async def theirs(session: AsyncSession, other_user: User) -> Provider:
    provider = await factories.provider(session, other_user, alias="Theirs")
    connection = await factories.connection(session, provider)
    await factories.token(session, connection, refresh_token_encrypted=b"not encrypted either")
    return provider


async def everything(session: AsyncSession, redis: Redis, prefix: str) -> dict[str, Any]:
    """All rows, and Redis but for what counts attempts."""
    found: dict[str, Any] = {}
    for table in TABLES:
        # Columns, not objects: those the session would keep.
        rows = await session.execute(
            SQLModel.metadata.tables[str(table.__tablename__)].select().order_by("id")
        )
        found[str(table.__tablename__)] = rows.all()
    keys = [key async for key in redis.scan_iter(f"{prefix}*") if not key.startswith(f"{prefix}limits")]
    return found | {"redis": sorted(keys)}


def send(client: httpx.AsyncClient, route: Route, body: Any, headers: dict[str, str], **ids: Any) -> Any:
    return client.request(route[0], route[1].format(**ids), json=body, headers=headers)


BAD: list[dict[str, str]] = [
    {},
    {"Authorization": "Bearer"},
    {"Authorization": "Basic YW5uOkNvcnJlY3QtaG9yc2UtNw=="},
    {"Authorization": "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0."},
]
BAD_IDS = ["no header", "an empty token", "another scheme", "an unsigned token"]


@pytest.mark.parametrize("headers", BAD, ids=BAD_IDS)
@pytest.mark.parametrize("route", [*OWN, *OWNED], ids=name)
async def test_without_a_good_token_nothing_is_seen_or_changed(
    client: httpx.AsyncClient,
    session: AsyncSession,
    redis: Redis,
    app_settings: Settings,
    theirs: Provider,
    route: Route,
    headers: dict[str, str],
) -> None:
    before = await everything(session, redis, app_settings.redis_key_prefix)
    body = OWN.get(route, OWNED.get(route))
    response = await send(client, route, body, headers, provider_id=theirs.id, key="schwab")
    assert response.status_code == 401
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert await everything(session, redis, app_settings.redis_key_prefix) == before


@pytest.mark.parametrize("route", OWNED, ids=name)
async def test_what_is_anothers_is_not_there(
    client: httpx.AsyncClient,
    session: AsyncSession,
    redis: Redis,
    app_settings: Settings,
    login: Login,
    user: User,
    theirs: Provider,
    route: Route,
) -> None:
    before = await everything(session, redis, app_settings.redis_key_prefix)
    answers = []
    # One that is nobody's beside it: the two answers must not differ.
    for provider_id in (theirs.id, uuid.uuid4()):
        response = await send(client, route, OWNED[route], login(user), provider_id=provider_id)
        assert response.status_code == 404
        answers.append({key: value for key, value in response.json().items() if key != "request_id"})
    assert answers[0] == answers[1]
    assert await everything(session, redis, app_settings.redis_key_prefix) == before


@pytest.mark.parametrize("route", OWN, ids=name)
async def test_whoever_asks_sees_and_changes_their_own(
    client: httpx.AsyncClient,
    session: AsyncSession,
    login: Login,
    user: User,
    other_user: User,
    theirs: Provider,
    route: Route,
) -> None:
    seen = [other_user.model_dump(), theirs.model_dump()]
    response = await send(client, route, OWN[route], login(user), key="schwab")
    assert response.status_code in {200, 201}
    for word in (str(theirs.id), theirs.alias, str(other_user.id), other_user.email):
        assert word not in response.text
    for row in (other_user, theirs):
        await session.refresh(row)
    assert [other_user.model_dump(), theirs.model_dump()] == seen


async def test_an_alias_of_anothers_is_free(
    client: httpx.AsyncClient, login: Login, user: User, theirs: Provider
) -> None:
    """Otherwise the refusal would tell what others call theirs."""
    new = {"provider_key": "schwab", "alias": theirs.alias}
    response = await client.post(f"{API}/providers", json=new, headers=login(user))
    assert response.status_code == 201


@pytest.mark.parametrize("sort", ["alias", "-alias", "status", "created_at"])
@pytest.mark.parametrize(
    "filters",
    [{}, {"status": "active"}, {"provider_key": "schwab"}, {"is_active": True}],
    ids=lambda filters: "".join(filters) or "no filter",
)
async def test_a_list_holds_all_of_ones_own_and_nothing_of_anothers(
    client: httpx.AsyncClient,
    session: AsyncSession,
    login: Login,
    user: User,
    theirs: Provider,
    sort: str,
    filters: dict[str, Any],
) -> None:
    mine = await factories.provider(session, user)
    await factories.connection(session, mine)
    found = await client.get(f"{API}/providers", params={"sort": sort} | filters, headers=login(user))
    assert found.status_code == 200
    assert [item["id"] for item in found.json()["items"]] == [str(mine.id)]
    assert found.json()["total"] == 1


@pytest.mark.parametrize("headers", [*BAD, None], ids=[*BAD_IDS, "a user's token"])
@pytest.mark.parametrize("route", RELAY, ids=name)
async def test_a_user_is_not_the_callback_server(
    client: httpx.AsyncClient, login: Login, user: User, route: Route, headers: dict[str, str] | None
) -> None:
    response = await send(client, route, RELAY[route], login(user) if headers is None else headers)
    assert response.status_code == 401
