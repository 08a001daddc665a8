"""The callback server with the real app behind it, over TLS, and a browser before it."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from http.cookies import SimpleCookie
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession

from src import callback
from src.api import relay
from src.callback.pages import HEADERS
from src.connections.audit import Action
from src.connections.browser import cookie_name
from src.core.config import CallbackSettings, Settings
from src.core.security.tls import client_context
from src.models import Provider, User
from tests.api.conftest import Login
from tests.api.oauth_flow import OAuthFlow, audited, stored

Serve = Callable[..., AbstractAsyncContextManager[str]]
Browser = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
NOWHERE = "https://localhost:1"


@pytest.fixture
def serve(app: FastAPI, app_settings: Settings) -> Serve:
    """The app over TLS, in this test's own loop and transaction."""

    @asynccontextmanager
    async def serve(host: str = "127.0.0.1") -> AsyncIterator[str]:
        listener = socket.create_server((host, 0))
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                ssl_certfile=app_settings.tls_cert_file,
                ssl_keyfile=app_settings.tls_key_file,
                lifespan="off",
                ws="none",
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=1,
            )
        )
        task = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        yield f"https://{host}:{listener.getsockname()[1]}"
        server.should_exit = True
        await task

    return serve


@pytest.fixture
def browser(app_settings: Settings) -> Browser:
    """A user's browser: the callback server is where the redirect address says, the fake where it is."""

    @asynccontextmanager
    async def browse(app_url: str, **changes: Any) -> AsyncIterator[httpx.AsyncClient]:
        settings = CallbackSettings(
            ENVIRONMENT="testing",
            APP_URL=app_url,
            RELAY_TOKEN=app_settings.relay_token,
            TLS_CA_FILE=app_settings.tls_ca_file,
        ).model_copy(update=changes)
        served = callback.create_app(settings)
        here = httpx.ASGITransport(served, raise_app_exceptions=False, client=("203.0.113.9", 1234))
        async with httpx.AsyncClient(
            mounts={app_settings.schwab_redirect_uri: here},
            verify=client_context(app_settings.tls_ca_file),
            base_url=app_settings.schwab_redirect_uri,
            follow_redirects=True,
            timeout=60,
            headers={"User-Agent": "Browser/1.0"},
        ) as client:
            yield client
        await served.state.relay.aclose()

    return browse


def assert_page(response: httpx.Response, status: int, title: str) -> None:
    assert response.status_code == status, response.text
    assert f"<h1>{title}</h1>" in response.text
    assert HEADERS.items() <= dict(_titled(response.headers)).items()


def _titled(headers: httpx.Headers) -> list[tuple[str, str]]:
    names = {name.lower(): name for name in HEADERS}
    return [(names.get(name, name), value) for name, value in headers.items()]


async def returned_to(flow: OAuthFlow, browser: httpx.AsyncClient, user: User, provider: Provider) -> str:
    """The address that the provider sends a browser back to, which has the cookie but did not follow yet."""
    url = (await flow.start(user, provider))["auth_url"]
    for _ in range(2):
        response = await browser.get(url, follow_redirects=False)
        assert response.status_code == 302, response.text
        url = response.headers["location"]
    assert url.startswith(flow.settings.schwab_redirect_uri)
    return str(url)


async def test_all_the_way(
    flow: OAuthFlow,
    serve: Serve,
    browser: Browser,
    session: AsyncSession,
    user: User,
    provider: Provider,
    login: Login,
) -> None:
    auth_url = (await flow.start(user, provider))["auth_url"]
    async with serve() as app_url, browser(app_url) as client:
        response = await client.get(auth_url)
        assert_page(response, 200, "Connected to Charles Schwab")
        first, second, third = response.history
        assert_cookie(first, max_age="600")
        assert second.url.host == "localhost"
        assert_cookie(third, max_age="0")
        assert third.status_code == 303
        for redirect in (first, third):
            assert HEADERS.items() <= dict(_titled(redirect.headers)).items()
        assert not client.cookies
        assert "<dd>Savings</dd>" in response.text
        assert "fake Schwab" in response.text
        assert f'href="{flow.settings.public_url}/docs"' in response.text
        # Loaded again, the page says the same; what brought the code here is over.
        assert (await client.get(response.url)).text == response.text
        assert_page(await client.get(third.url), 400, EXPIRED)
    status = await flow.client.get(f"/api/v1/providers/{provider.id}", headers=login(user))
    assert status.json()["status"] == "active"
    (opened,) = await audited(session, Action.AUTHORIZATION_OPENED)
    completed = (await audited(session, Action.AUTHORIZATION_COMPLETED))[0]
    for entry in (opened, completed):
        assert (str(entry.ip_address), entry.user_agent) == ("203.0.113.9", "Browser/1.0")


def assert_cookie(response: httpx.Response, max_age: str) -> None:
    (header,) = response.headers.get_list("set-cookie")
    ((name, cookie),) = SimpleCookie(header).items()
    assert name.startswith("__Host-dashtam-")
    assert (cookie["path"], cookie["secure"], cookie["httponly"]) == ("/", True, True)
    assert (cookie["samesite"].lower(), cookie["domain"], cookie["max-age"]) == ("lax", "", max_age)


async def test_another_browser_cannot_finish(
    flow: OAuthFlow, serve: Serve, browser: Browser, session: AsyncSession, user: User, provider: Provider
) -> None:
    async with serve() as app_url, browser(app_url) as mine, browser(app_url) as theirs:
        url = await returned_to(flow, mine, user, provider)
        assert_page(await theirs.get(url), 400, "This authorization was started in another browser")
    assert await stored(session) == (0, 0)


async def test_a_link_opens_in_one_browser(
    flow: OAuthFlow, serve: Serve, browser: Browser, user: User, provider: Provider
) -> None:
    auth_url = (await flow.start(user, provider))["auth_url"]
    async with serve() as app_url, browser(app_url) as mine, browser(app_url) as theirs:
        assert_page(await mine.get(auth_url), 200, "Connected to Charles Schwab")
        response = await theirs.get(auth_url)
        assert_page(response, 400, "This link is no longer valid")
        assert "set-cookie" not in response.headers


async def test_cookies_of_others_are_left_alone(
    flow: OAuthFlow, serve: Serve, browser: Browser, user: User, provider: Provider
) -> None:
    """Of another instance on another port, which a browser sends here, too."""
    async with serve() as app_url, browser(app_url) as client:
        for name in (cookie_name("A" * 43), "session"):
            client.cookies.set(name, "theirs", domain="127.0.0.1")
        response = await client.get((await flow.start(user, provider))["auth_url"])
        assert_page(response, 200, "Connected to Charles Schwab")
        assert sorted(client.cookies) == sorted([cookie_name("A" * 43), "session"])


EXPIRED = "This authorization has expired or was already completed"


@pytest.mark.parametrize(
    ("query", "title", "problem"),
    [
        ("", EXPIRED, "state-missing"),
        ("?code=C0de", EXPIRED, "state-missing"),
        ("?code=C0de&state=", EXPIRED, "state-missing"),
        ("?code=C0de&state=5tate", EXPIRED, "state-invalid"),
        ("?code=C0de&state=%00", EXPIRED, "state-invalid"),
        ("?code=C0de&state=%ED%A0%80%FF", EXPIRED, "state-invalid"),
        (f"?code=C0de&state={'A' * 20_000}", EXPIRED, "state-invalid"),
        ("?code=a&code=b&state=5tate", EXPIRED, "parameter-repeated"),
        ("?code=C0de&state=5tate&state=5tate", EXPIRED, "parameter-repeated"),
        ("?state=a&error=x&error=y", EXPIRED, "parameter-repeated"),
        ("?state=a&session=1&session=2", EXPIRED, "state-invalid"),
        ("?error=access_denied", EXPIRED, "state-missing"),
        ("?error=<script>alert(1)</script>&error_description=<b>bold</b>", EXPIRED, "state-missing"),
        (
            "?state=%0d%0aSet-Cookie:%20a=b&code=%0d%0aLocation:%20https://evil.example",
            EXPIRED,
            "state-invalid",
        ),
        ("?state=https://evil.example&redirect_uri=https://evil.example", EXPIRED, "state-invalid"),
    ],
)
async def test_whatever_comes_is_answered_and_repeated_nowhere(
    serve: Serve, browser: Browser, session: AsyncSession, query: str, title: str, problem: str
) -> None:
    async with serve() as app_url, browser(app_url) as client:
        response = await client.get(f"/{query}", follow_redirects=False)
    assert_page(response, 400, title)
    everything = response.text + str(response.headers)
    assert not [part for part in ("script", "bold", "evil", "5tate", "C0de") if part in everything]
    assert not {"location", "set-cookie"} & response.headers.keys()
    (entry,) = await audited(session)
    assert (entry.outcome, entry.details["problem"]) == ("failure", problem)


@pytest.mark.parametrize(
    ("query", "title"),
    [
        ("?error=access_denied&state={state}", "You did not give your consent"),
        ("?error=server_error&state={state}", "The provider reported an error"),
        ("?error=<script>&error_description=<b>bold</b>&state={state}", "The provider reported an error"),
        ("?state={state}", EXPIRED),
        ("?code=unknown&state={state}", "The provider no longer accepts this authorization"),
        ("?code=a&code=b&state={state}", EXPIRED),
    ],
)
async def test_answers_in_the_right_browser(
    flow: OAuthFlow,
    serve: Serve,
    browser: Browser,
    session: AsyncSession,
    user: User,
    provider: Provider,
    query: str,
    title: str,
) -> None:
    async with serve() as app_url, browser(app_url) as client:
        url = httpx.URL(await returned_to(flow, client, user, provider))
        state = url.params["state"]
        response = await client.get(f"/{query.format(state=state)}")
        assert_page(response, 400, title)
        assert str(response.url).startswith(f"{flow.settings.schwab_redirect_uri}/result/")
        assert "<dd>not connected</dd>" in response.text
        assert (await client.get(response.url)).text == response.text
        assert not [part for part in ("script", "bold", state) if part in response.text]
        # The flow is over, and so is its cookie.
        assert not client.cookies
        assert_page(await client.get(url), 400, EXPIRED)
    assert await stored(session) == (0, 0)


async def test_a_result_says_how_the_provider_stands_by_now(
    flow: OAuthFlow, serve: Serve, browser: Browser, user: User, provider: Provider, login: Login
) -> None:
    path = f"/api/v1/providers/{provider.id}"
    async with serve() as app_url, browser(app_url) as client:
        url = httpx.URL(await returned_to(flow, client, user, provider))
        refused = await client.get(f"/?error=access_denied&state={url.params['state']}")
        connected = await client.get((await flow.start(user, provider))["auth_url"])
        assert "the account is connected" in (await client.get(refused.url)).text
        await flow.client.delete(f"{path}/authorization", headers=login(user))
        assert_page(await client.get(connected.url), 200, "No longer connected to Charles Schwab")
        await flow.client.delete(path, headers=login(user))
        response = await client.get(connected.url)
        assert_page(response, 200, "No longer connected to Charles Schwab")
        assert "removed from Dashtam" in response.text
        assert "Savings" not in response.text


async def test_a_result_that_somebody_made_up(
    flow: OAuthFlow, serve: Serve, browser: Browser, user: User, provider: Provider, app: FastAPI
) -> None:
    async with serve() as app_url, browser(app_url) as client:
        connected = str((await client.get((await flow.start(user, provider))["auth_url"])).url)
        for url in (f"{connected[:-8]}AAAAAAAA", connected[:-8], "/result/A", f"/result/{'A' * 200}"):
            assert_page(await client.get(url), 404, "This page is no longer available")
        app.state.keyring = app.state.keyring.derived("another")
        assert_page(await client.get(connected), 404, "This page is no longer available")


async def test_a_link_leads_where_the_app_says(
    flow: OAuthFlow, serve: Serve, browser: Browser, user: User, provider: Provider
) -> None:
    auth_url = (await flow.start(user, provider))["auth_url"]
    async with serve() as app_url, browser(app_url) as client:
        response = await client.get(
            f"{auth_url}&redirect_uri=https://evil.example&next=//evil.example", follow_redirects=False
        )
    assert response.headers["location"].startswith(f"{flow.fake.url}/v1/oauth/authorize?")
    assert "evil" not in str(response.headers)


@pytest.mark.parametrize("method", ["HEAD", "POST"])
async def test_looking_ahead_uses_nothing_up(
    flow: OAuthFlow, serve: Serve, browser: Browser, user: User, provider: Provider, method: str
) -> None:
    """Programs that look at links before people do."""
    auth_url = (await flow.start(user, provider))["auth_url"]
    async with serve() as app_url, browser(app_url) as client:
        assert (await client.request(method, auth_url)).status_code == 405
        assert_page(await client.get(auth_url), 200, "Connected to Charles Schwab")


# Without the app


async def test_without_the_app_the_browser_keeps_its_chance(
    flow: OAuthFlow, serve: Serve, browser: Browser, user: User, provider: Provider
) -> None:
    auth_url = (await flow.start(user, provider))["auth_url"]
    async with serve() as app_url, browser(app_url) as client:
        relayed = client._mounts  # the same browser, whose callback server loses the app and finds it again
        async with browser(NOWHERE) as cut_off:
            client._mounts = cut_off._mounts
            assert_down(await client.get(auth_url))
            client._mounts = relayed
            url = await returned_to(flow, client, user, provider)
            client._mounts = cut_off._mounts
            assert_down(await client.get(url))
            client._mounts = relayed
        assert len(client.cookies) == 1
        assert_page(await client.get(url), 200, "Connected to Charles Schwab")
        assert_page(await client.get(auth_url), 200, "Connected to Charles Schwab")


def assert_down(response: httpx.Response) -> None:
    assert_page(response, 503, "Dashtam cannot be reached")
    assert response.headers["retry-after"] == "5"
    assert "set-cookie" not in response.headers


async def test_an_app_of_another_name_is_told_nothing(
    serve: Serve, browser: Browser, session: AsyncSession, caplog: pytest.LogCaptureFixture
) -> None:
    """Its certificate is of our CA, but not for this address."""
    async with serve(host="127.0.0.2") as app_url, browser(app_url) as client:
        assert_down(await client.get("/?code=C0de&state=5tate"))
    assert "CERTIFICATE_VERIFY_FAILED" in caplog.text
    assert await audited(session) == []


async def test_an_app_without_our_certificate_is_told_nothing(
    serve: Serve, browser: Browser, session: AsyncSession, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve() as app_url, browser(app_url, tls_ca_file=None) as client:
        assert_down(await client.get("/?code=C0de&state=5tate"))
    assert "CERTIFICATE_VERIFY_FAILED" in caplog.text
    assert await audited(session) == []


async def test_with_another_relay_token(
    serve: Serve, browser: Browser, session: AsyncSession, caplog: pytest.LogCaptureFixture
) -> None:
    other = SecretStr("another, just as long as the real one is")
    async with serve() as app_url, browser(app_url, relay_token=other) as client:
        assert_down(await client.get("/?code=C0de&state=5tate"))
    assert "not-the-callback-server" in caplog.text
    assert await audited(session) == []


@asynccontextmanager
async def answering(settings: Settings, answer: bytes | None) -> AsyncIterator[str]:
    """Something over TLS that answers every request so, or never."""
    done = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if answer is None:
            await done.wait()
        else:
            writer.write(answer)
            await writer.drain()
        writer.close()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(settings.tls_cert_file, settings.tls_key_file)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    yield f"https://localhost:{server.sockets[0].getsockname()[1]}"
    done.set()
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    ("answer", "status", "title"),
    [
        (None, 503, "Dashtam cannot be reached"),
        (b"", 503, "Dashtam cannot be reached"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK", 503, "Dashtam cannot be reached"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", 503, "Dashtam cannot be reached"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}", 503, "Dashtam cannot be reached"),
        (
            b'HTTP/1.1 500 Oops\r\nContent-Length: 40\r\n\r\n{"type":"urn:dashtam:problem:<script>1"}\n',
            502,
            "Something went wrong",
        ),
    ],
)
async def test_an_app_that_answers_otherwise(
    app_settings: Settings,
    browser: Browser,
    monkeypatch: pytest.MonkeyPatch,
    answer: bytes | None,
    status: int,
    title: str,
) -> None:
    monkeypatch.setattr(callback.relay, "ANSWER_TIMEOUT", 1.0 if answer is None else 60.0)
    async with answering(app_settings, answer) as app_url, browser(app_url) as client:
        for path in ("/?code=C0de&state=5tate", "/authorize?ticket=t1cket&state=5tate"):
            assert_page(await client.get(path), status, title)


async def test_too_many_attempts(
    flow: OAuthFlow,
    serve: Serve,
    browser: Browser,
    user: User,
    provider: Provider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay, "RATE", "1/minute")
    async with serve() as app_url, browser(app_url) as client:
        url = await returned_to(flow, client, user, provider)
        response = await client.get(url)
        assert_page(response, 429, "Too many attempts")
        assert 0 < int(response.headers["retry-after"]) <= 60
        # It was not used up, and the browser keeps its cookie.
        assert len(client.cookies) == 1
        monkeypatch.setattr(relay, "RATE", "60/minute")
        assert_page(await client.get(url), 200, "Connected to Charles Schwab")
