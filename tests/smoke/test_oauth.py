"""A person connects an account with the fake Schwab, over the environment's own servers and nothing else."""

import html
import re
import uuid
from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest

from src.core.config import Settings
from src.core.security.encryption import Keyring

from .conftest import APP, Account, Browsers

HIDDEN = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)">')
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
async def api(http: httpx.AsyncClient, account: Account) -> httpx.AsyncClient:
    http.base_url = httpx.URL(f"{APP}/api/v1/")
    http.headers.update(account.headers)
    return http


@pytest.fixture
async def provider(api: httpx.AsyncClient) -> AsyncIterator[str]:
    """Path of a provider that is not connected."""
    new = {"provider_key": "schwab", "alias": f"Smoke {uuid.uuid4().hex[:8]}"}
    created = await api.post("providers", json=new)
    assert created.status_code == 201, created.text
    path = f"providers/{created.json()['id']}"
    yield path
    assert (await api.delete(path)).status_code == 204


async def link(api: httpx.AsyncClient, provider: str) -> str:
    started = await api.post(f"{provider}/authorization")
    assert started.status_code == 200, started.text
    return str(started.json()["auth_url"])


async def status(api: httpx.AsyncClient, provider: str) -> str:
    return str((await api.get(f"{provider}/authorization")).json()["status"])


async def audited(database: asyncpg.Connection, provider: str) -> list[tuple[str, str]]:
    """Actions and their outcomes, oldest first."""
    rows = await database.fetch(
        "SELECT action, outcome FROM provider_audit_logs WHERE provider_id = $1 ORDER BY occurred_at",
        provider.partition("/")[2],
    )
    return [(row["action"], row["outcome"]) for row in rows]


STARTED = [(f"{action}", "success") for action in ("provider.created", "authorization.started")]
OPENED = [*STARTED, ("authorization.opened", "success")]


async def back_at_callback(browser: httpx.AsyncClient, url: str) -> str:
    """Follow a link through the provider; where it sends the browser in the end, which does not go there."""
    opened = await browser.get(url, follow_redirects=False)
    agreed = await browser.get(opened.headers["location"], follow_redirects=False)
    return str(agreed.headers["location"])


async def test_a_whole_connection(
    api: httpx.AsyncClient,
    provider: str,
    browsers: Browsers,
    database: asyncpg.Connection,
    settings: Settings,
) -> None:
    page = await browsers().get(await link(api, provider))
    assert page.status_code == 200, page.text
    assert "Connected to Charles Schwab" in page.text
    assert str(page.url).startswith(settings.schwab_redirect_uri)
    assert [answer.status_code for answer in page.history] == [302, 302, 303]
    # It may be loaded again.
    assert (await browsers().get(page.url)).text == page.text
    assert await status(api, provider) == "active"

    row = await database.fetchrow(
        "SELECT t.* FROM provider_tokens t JOIN provider_connections c ON c.id = t.connection_id "
        "WHERE c.provider_id = $1",
        provider.partition("/")[2],
    )
    keyring = Keyring.parse(settings.encryption_key.get_secret_value())
    assert row["key_id"] == keyring.primary_id
    for column in ("access_token_encrypted", "refresh_token_encrypted"):
        clear = keyring.decrypt(row[column], table="provider_tokens", column=column, row_id=row["id"])
        # As the fake's tokens are.
        assert clear.endswith("@")
        assert clear.encode() not in row[column]

    refreshed = await api.patch(f"{provider}/authorization")
    assert refreshed.status_code == 200, refreshed.text
    assert (refreshed.json()["status"], refreshed.json()["refresh_count"]) == ("active", 1)
    assert (await api.delete(f"{provider}/authorization")).status_code == 204
    assert await status(api, provider) == "revoked"
    assert await audited(database, provider) == [
        *OPENED,
        ("authorization.completed", "success"),
        ("token.refresh_started", "success"),
        ("token.refreshed", "success"),
        ("authorization.revoked", "success"),
    ]


async def test_another_browser_cannot_finish(
    api: httpx.AsyncClient, provider: str, browsers: Browsers, database: asyncpg.Connection
) -> None:
    mine, theirs = browsers(), browsers()
    back = await back_at_callback(mine, await link(api, provider))
    # Theirs has a flow of its own, hence a cookie, too.
    await back_at_callback(theirs, await link(api, provider))
    page = await theirs.get(back)
    assert page.status_code == 400
    assert "This authorization was started in another browser" in page.text
    # Nor can mine any more: whoever has seen the state may have seen the code.
    assert (await mine.get(back)).status_code == 400
    assert await status(api, provider) == "pending"
    failures = [action for action, outcome in await audited(database, provider) if outcome == "failure"]
    assert failures[:1] == ["authorization.completed"]


async def test_a_replay_changes_nothing(
    api: httpx.AsyncClient, provider: str, browsers: Browsers, database: asyncpg.Connection
) -> None:
    browser = browsers()
    url = await link(api, provider)
    back = await back_at_callback(browser, url)
    assert (await browser.get(back)).status_code == 200
    before = await audited(database, provider)
    assert before[-1] == ("authorization.completed", "success")
    for again in (back, url):
        assert (await browser.get(again)).status_code == 400
    assert await status(api, provider) == "active"
    assert [entry for entry in await audited(database, provider) if entry[1] == "success"] == before


@pytest.mark.parametrize(
    ("choice", "code", "said", "ends"),
    [
        ("allow", 200, "Connected to Charles Schwab", ("active", None)),
        ("refuse", 400, "You did not give your consent", ("pending", "access-denied")),
    ],
)
async def test_a_person_clicks_through(
    api: httpx.AsyncClient,
    provider: str,
    browsers: Browsers,
    choice: str,
    code: int,
    said: str,
    ends: tuple[str, str | None],
) -> None:
    browser = browsers()
    consent = await browser.get(await link(api, provider), headers=BROWSER)
    assert consent.status_code == 200
    form = {html.unescape(name): html.unescape(value) for name, value in HIDDEN.findall(consent.text)}
    page = await browser.post(
        consent.url.copy_with(query=None), data=form | {"choice": choice}, headers=BROWSER
    )
    assert page.status_code == code
    assert said in page.text
    found = (await api.get(f"{provider}/authorization")).json()
    assert (found["status"], found["last_error"]) == ends
