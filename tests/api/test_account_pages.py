"""The pages that mailed links lead to."""

import html
import re
from datetime import UTC, datetime
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from src.core.config import Settings
from src.core.database import create_engine, create_sessions
from src.models import MailedToken, User
from tests.api.conftest import ReceivedMail, without_redis
from tests.factories import PASSWORD

Mails = list[ReceivedMail]
NEW_PASSWORD = "Battery-staple-8"
NO_LONGER_VALID = "This link is no longer valid"
VERIFY, RESET = "/verify-email", "/reset-password"


@pytest.fixture
async def verify_link(client: httpx.AsyncClient, mails: Mails, app_settings: Settings) -> str:
    registration = {"email": "ann@example.org", "password": PASSWORD, "name": "Ann"}
    await client.post("/api/v1/auth/register", json=registration)
    return mails[0].link.removeprefix(app_settings.public_url)


@pytest.fixture
async def reset_link(client: httpx.AsyncClient, user: User, mails: Mails, app_settings: Settings) -> str:
    await client.post("/api/v1/password-resets/", json={"email": user.email})
    return mails[0].link.removeprefix(app_settings.public_url)


def assert_page(response: httpx.Response, status: int, title: str) -> None:
    assert response.status_code == status, response.text
    assert f"<h1>{title}</h1>" in response.text
    # The address has a secret, which no other site may learn, and no cache.
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["cache-control"] == "no-store"
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "frame-ancestors 'none'" in policy
    assert not re.search(r'(src|href)="(?!/docs")', response.text)


async def press(client: httpx.AsyncClient, page: httpx.Response, **typed: str) -> httpx.Response:
    """What a browser sends when its person presses the page's one button."""
    (path,) = re.findall('<form method="post" action="([^"]*)">', page.text)
    hidden = dict(re.findall('<input type="hidden" name="([^"]*)" value="([^"]*)">', page.text))
    return await client.post(
        path, data={name: html.unescape(value) for name, value in hidden.items()} | typed
    )


async def log_in(client: httpx.AsyncClient, password: str = PASSWORD) -> int:
    response = await client.post(
        "/api/v1/auth/login", json={"email": "ann@example.org", "password": password}
    )
    return response.status_code


async def test_verify(client: httpx.AsyncClient, verify_link: str) -> None:
    # Programs that look at links before people do change nothing.
    for method in ("HEAD", "GET", "GET"):
        page = await client.request(method, verify_link)
    assert_page(page, 200, "Confirm your address")
    assert "<strong>ann@example.org</strong>" in page.text
    assert await log_in(client) == 403
    sent = await press(client, page)
    assert (sent.status_code, sent.headers["location"]) == (303, verify_link)
    assert sent.headers["referrer-policy"] == "no-referrer"
    for _ in range(2):
        assert_page(await client.get(sent.headers["location"]), 200, "Your address is confirmed")
    assert await log_in(client) == 200
    # A second press, on a page that was still open, is no error.
    assert (await press(client, page)).status_code == 303


async def test_reset(client: httpx.AsyncClient, reset_link: str) -> None:
    page = await client.get(reset_link)
    assert_page(page, 200, "Choose a new password")
    assert "Common passwords are refused." in page.text
    for wrong, said in (
        ("short", "at least 8 characters"),
        ("nodigitshere", "a digit"),
        ("x" * 200, "at most 128"),
    ):
        refused = await press(client, page, password=wrong)
        assert_page(refused, 422, "Choose a new password")
        assert said in refused.text
        assert 'role="alert"' in refused.text
        assert wrong not in refused.text
    assert await log_in(client) == 200
    sent = await press(client, page, password=NEW_PASSWORD)
    assert (sent.status_code, sent.headers["location"]) == (303, reset_link)
    for _ in range(2):
        assert_page(await client.get(sent.headers["location"]), 200, "Your password was changed")
    assert (await log_in(client), await log_in(client, NEW_PASSWORD)) == (401, 200)
    # A second press, in another tab, changes nothing, and says so.
    refused = await press(client, page, password="Another-one-9")
    assert_page(refused, 409, "This link was already used")
    assert "Your password was not changed now." in refused.text
    assert await log_in(client, NEW_PASSWORD) == 200


@pytest.mark.parametrize("path", [VERIFY, RESET])
@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 422),
        ("?token=", 422),
        (f"?token={'A' * 43}", 404),
        (f"?token={'A' * 300}", 422),
        ("?token=%3Cb%3E%00", 404),
    ],
)
async def test_links_that_are_none(client: httpx.AsyncClient, path: str, query: str, status: int) -> None:
    response = await client.get(f"{path}{query}")
    assert_page(response, status, NO_LONGER_VALID)
    assert "<b>" not in response.text


@pytest.mark.parametrize(("path", "status"), [(VERIFY, 400), (RESET, 404)])
async def test_forms_with_tokens_that_are_none(client: httpx.AsyncClient, path: str, status: int) -> None:
    answer = await client.post(path, data={"token": "A" * 43, "password": NEW_PASSWORD})
    assert_page(answer, status, NO_LONGER_VALID)
    assert_page(await client.post(path, data={}), 422, NO_LONGER_VALID)
    assert_page(await client.post(path, json={"token": "A" * 43}), 422, NO_LONGER_VALID)


async def test_a_token_is_good_for_its_purpose_alone(client: httpx.AsyncClient, verify_link: str) -> None:
    assert_page(await client.get(verify_link.replace(VERIFY, RESET)), 404, NO_LONGER_VALID)


async def test_expired(client: httpx.AsyncClient, session: AsyncSession, verify_link: str) -> None:
    await session.execute(update(MailedToken).values(expires_at=datetime.now(UTC)))
    assert_page(await client.get(verify_link), 404, NO_LONGER_VALID)


async def test_too_often(client: httpx.AsyncClient, verify_link: str) -> None:
    answers = [await client.get(verify_link) for _ in range(31)]
    assert [answer.status_code for answer in answers] == [200] * 30 + [429]
    assert_page(answers[-1], 429, "Too many attempts")
    assert int(answers[-1].headers["retry-after"]) > 0


async def test_without_redis(app: FastAPI, client: httpx.AsyncClient, verify_link: str) -> None:
    async with without_redis(app):
        assert_page(await client.get(verify_link), 503, "Dashtam does not answer")


async def test_without_the_database(app: FastAPI, client: httpx.AsyncClient, verify_link: str) -> None:
    """A name that the server does not know: of that, SQLAlchemy's wrapper has only the SQLSTATE."""
    address = app.state.settings.app_database_url.get_secret_value()
    missing = SecretStr(urlsplit(address)._replace(path="/none").geturl())
    engine = create_engine(app.state.settings.model_copy(update={"app_database_url": missing}))
    app.state.sessions = create_sessions(engine)
    assert_page(await client.get(verify_link), 503, "Dashtam does not answer")
    await engine.dispose()


async def test_production_shows_no_way_to_the_docs(
    app: FastAPI, client: httpx.AsyncClient, verify_link: str
) -> None:
    await press(client, await client.get(verify_link))
    assert 'href="/docs"' in (await client.get(verify_link)).text
    app.state.settings = app.state.settings.model_copy(update={"environment": "production"})
    assert "href=" not in (await client.get(verify_link)).text


async def test_what_is_refused_is_rolled_back(
    client: httpx.AsyncClient, session: AsyncSession, reset_link: str
) -> None:
    """The token of somebody who is not active is ended before they are refused."""
    page = await client.get(reset_link)
    await session.execute(update(User).values(is_active=False))
    assert_page(await press(client, page, password=NEW_PASSWORD), 404, NO_LONGER_VALID)
    await session.execute(update(User).values(is_active=True))
    assert_page(await client.get(reset_link), 200, "Choose a new password")
    assert await log_in(client) == 200


def test_they_are_no_part_of_the_documented_api(app: FastAPI) -> None:
    assert not {VERIFY, RESET, "/docs", "/"} & app.openapi()["paths"].keys()
