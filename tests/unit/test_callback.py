"""The callback server without an app: what it shows, and what it does not take."""

import re
import runpy
from pathlib import Path

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


def test_pages_are_constant() -> None:
    """Nothing can be put into them but the two texts."""
    assert set(re.findall(r"{(\w*)}", pages.PAGE)) == {"title", "text"}
    assert not re.search(r"<(script|style|img|link|iframe|form)|\bon\w+=", pages.PAGE)


def test_a_process_that_a_reloader_spawns_starts_no_server() -> None:
    """One that was started when the module was a single file runs it again, under this name."""
    runpy.run_module("src.callback", run_name="__mp_main__")
