"""The callback server without an app: what it shows, and what it does not take."""

import re
import runpy
from pathlib import Path
from typing import Any

import httpx
import pytest

from src.callback import create_app, pages
from src.callback.pages import PAGES, Refusal, refused
from src.callback.relay import UNREACHABLE
from src.connections import connecting
from src.connections.browser import cookie_name
from src.connections.context import PROVIDER_PROBLEMS


@pytest.fixture(autouse=True)
def _own_variables_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENT", "testing")
    monkeypatch.setenv("RELAY_TOKEN", "mP4xK7cV1bT9zR2nW6qL8sD3fG5hJ0yUaEiOtNk")


async def ask(method: str, path: str) -> httpx.Response:
    transport = httpx.ASGITransport(create_app())
    async with httpx.AsyncClient(transport=transport, base_url="https://callback") as client:
        return await client.request(method, path)


def assert_protected(response: httpx.Response) -> None:
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["x-content-type-options"] == "nosniff"
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none';")
    assert "frame-ancestors 'none'" in policy


async def test_health() -> None:
    response = await ask("GET", "/health")
    assert response.status_code == 200
    assert response.content == b'{"status":"ok"}'


@pytest.mark.parametrize("path", ["/nothing", "/authorize/", "/api/v1/internal/oauth/begin", "/docs"])
async def test_nothing_else_is_here(path: str) -> None:
    response = await ask("GET", f"{path}?code=C0de&state=%3Cscript%3E")
    assert response.status_code == 404
    assert_protected(response)
    assert "C0de" not in response.text
    assert "script" not in response.text


@pytest.mark.parametrize("path", ["/", "/authorize"])
@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_only_get(method: str, path: str) -> None:
    """The network is blocked here: asking the app would be another error."""
    response = await ask(method, f"{path}?code=C0de&state=5tate&ticket=t1cket")
    assert response.status_code == 405
    assert "GET" in response.headers["allow"]
    assert_protected(response)


def test_every_problem_of_the_app_has_a_page() -> None:
    source = Path(connecting.__file__).read_text()
    codes = set(re.findall(r'Problem\(\s*400,\s*"([a-z-]+)"', source))
    codes |= {code for _, code, _ in PROVIDER_PROBLEMS.values()}
    assert {"state-invalid", "link-invalid", "provider-timeout"} <= codes
    assert codes <= PAGES.keys()


@pytest.mark.parametrize("code", PAGES)
def test_pages(code: str) -> None:
    response = refused(Refusal(400, code))
    text = bytes(response.body).decode()
    title, advice = PAGES[code]
    assert f"<h1>{title}</h1>" in text
    assert advice in text
    assert response.status_code == 400
    assert "retry-after" not in response.headers


def test_page_of_a_problem_that_nobody_knows() -> None:
    response = refused(Refusal(502, "<script>"))
    assert b"Something went wrong" in bytes(response.body)
    assert b"<script>" not in bytes(response.body)


def test_when_to_come_back() -> None:
    assert refused(UNREACHABLE).headers["retry-after"] == "5"
    assert refused(Refusal(429, "rate-limited", "42")).headers["retry-after"] == "42"


def test_a_cookie_for_each_flow() -> None:
    first, second = cookie_name("A" * 43), cookie_name("B" * 43)
    assert re.fullmatch("__Host-dashtam-[0-9a-f]{16}", first)
    assert first != second
    assert first == cookie_name("A" * 43)


FOUND: dict[str, Any] = {
    "provider_name": "Charles Schwab",
    "alias": "Savings",
    "problem": None,
    "at": "2026-11-27T21:46:10Z",
    "status": "active",
    "fake": False,
    "docs_url": None,
}


def shown(**changes: Any) -> str:
    """What a browser is shown of a result."""
    response = pages.result(FOUND | changes)
    assert response.status_code == (400 if "problem" in changes else 200)
    assert_protected(httpx.Response(200, headers=dict(response.headers)))
    return bytes(response.body).decode()


def test_result_of_a_connection() -> None:
    text = shown()
    assert "<h1>Connected to Charles Schwab</h1>" in text
    assert "<dd>Savings</dd>" in text
    assert '<time datetime="2026-11-27T21:46:10Z">27 November 2026, 21:46 UTC</time>' in text
    assert "notice" not in text.partition("<main>")[2]
    assert "href" not in text


@pytest.mark.parametrize("status", ["expired", "revoked", "error", "removed"])
def test_result_of_a_connection_that_has_ended_since(status: str) -> None:
    text = shown(status=status, alias=None if status == "removed" else "Savings")
    assert "<h1>No longer connected to Charles Schwab</h1>" in text
    assert pages.ENDED[status] in text


@pytest.mark.parametrize("status", ["pending", "active"])
def test_result_of_a_refusal(status: str) -> None:
    text = shown(problem="access-denied", status=status)
    assert "<h1>You did not give your consent</h1>" in text
    assert ("the account is connected" in text) is (status == "active")


def test_result_says_that_the_provider_is_a_fake_and_where_to_go() -> None:
    text = shown(fake=True, docs_url="https://localhost:8000/docs")
    assert pages.FAKE in text
    assert '<a href="https://localhost:8000/docs">' in text


def test_result_repeats_nothing_unescaped() -> None:
    text = shown(alias="<script>&", provider_name="<b>", docs_url='https://x/"><script>', status="<i>")
    assert not re.search("<(script|b|i)>", text)
    assert "&lt;script&gt;&amp;" in text
    assert "javascript" not in shown(docs_url="javascript:alert(1)")


@pytest.mark.parametrize("result", ["%3Cscript%3E", "a.b", "a" * 1001])
async def test_an_address_that_is_no_result(result: str) -> None:
    """The network is blocked here: asking the app would be another error."""
    response = await ask("GET", f"/result/{result}")
    assert response.status_code == 404
    assert_protected(response)
    assert PAGES["result-invalid"][0] in response.text


def test_a_process_that_a_reloader_spawns_starts_no_server() -> None:
    """One that was started when the module was a single file runs it again, under this name."""
    runpy.run_module("src.callback", run_name="__mp_main__")
