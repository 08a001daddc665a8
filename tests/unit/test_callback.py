import httpx
import pytest

from src.callback import create_app


async def get(path: str) -> httpx.Response:
    transport = httpx.ASGITransport(create_app())
    async with httpx.AsyncClient(transport=transport, base_url="https://callback") as client:
        return await client.get(path)


@pytest.fixture(autouse=True)
def _own_variables_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENT", "testing")
    monkeypatch.setenv("RELAY_TOKEN", "mP4xK7cV1bT9zR2nW6qL8sD3fG5hJ0yUaEiOtNk")


async def test_health() -> None:
    response = await get("/health")
    assert response.status_code == 200
    assert response.content == b'{"status":"ok"}'


@pytest.mark.parametrize(
    "query",
    ["", "?code=C0de&state=5tate", "?error=access_denied&error_description=<script>alert(1)</script>"],
)
async def test_redirect_says_that_nothing_was_connected(query: str) -> None:
    response = await get(f"/{query}")
    assert response.status_code == 501
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "Nothing was connected" in response.text


async def test_redirect_reflects_nothing() -> None:
    plain = await get("/")
    loaded = await get("/?code=C0de&state=%3Cscript%3E5tate&error_description=%3Cb%3E")
    assert loaded.content == plain.content


async def test_code_stays_in_this_browser() -> None:
    headers = (await get("/?code=C0de&state=5tate")).headers
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["content-security-policy"].startswith("default-src 'none'")
