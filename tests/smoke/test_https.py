import socket
import ssl

import httpx
import pytest

from src.core.config import Settings
from src.core.security.tls import client_context

from .conftest import APP, CALLBACK, FAKE_SCHWAB

SERVERS = [("app", 8000), ("callback", 8182), ("fake-schwab", 9443)]


@pytest.mark.parametrize("url", [APP, CALLBACK, FAKE_SCHWAB])
async def test_health(http: httpx.AsyncClient, url: str) -> None:
    response = await http.get(f"{url}/health")
    assert response.status_code == 200
    assert response.content == b'{"status":"ok"}'


async def test_ready(http: httpx.AsyncClient) -> None:
    response = await http.get(f"{APP}/ready")
    assert response.status_code == 200, response.text
    assert response.json()["checks"] == {"database": "ok", "redis": "ok", "migrations": "ok"}


async def test_docs(http: httpx.AsyncClient) -> None:
    response = await http.get(f"{APP}/docs")
    assert response.status_code == 200
    assert "swagger" in response.text.lower()


async def test_an_answer_of_the_api(http: httpx.AsyncClient) -> None:
    response = await http.get(f"{APP}/api/v1/auth/me", headers={"X-Request-ID": "smoke-0123456789"})
    assert response.status_code == 401
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.headers["x-request-id"] == response.json()["request_id"] == "smoke-0123456789"


async def test_callback_repeats_nothing(http: httpx.AsyncClient) -> None:
    response = await http.get(f"{CALLBACK}/", params={"code": "C0de", "state": "<script>"})
    assert response.status_code == 400
    assert "Nothing was connected" in response.text
    assert "C0de" not in response.text
    assert "<script>" not in response.text
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["content-security-policy"].startswith("default-src 'none'")


async def test_the_relay_wants_its_token(http: httpx.AsyncClient) -> None:
    for authorization in ({}, {"Authorization": "Bearer wrong"}):
        body = {"ticket": "t", "state": "s"}
        response = await http.post(f"{APP}/api/v1/internal/oauth/begin", json=body, headers=authorization)
        assert response.status_code == 401


@pytest.mark.parametrize(("host", "port"), SERVERS)
def test_certificate_is_for_this_name(settings: Settings, host: str, port: int) -> None:
    """A handshake by the service's name succeeds, and one by another name of the same server does not."""
    context = client_context(settings.tls_ca_file)
    with (
        socket.create_connection((host, port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=host) as tls,
    ):
        assert tls.version() in {"TLSv1.2", "TLSv1.3"}
    with (
        socket.create_connection((host, port), timeout=10) as plain,
        pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"),
    ):
        context.wrap_socket(plain, server_hostname="someone-else.example")


@pytest.mark.parametrize(("host", "port"), SERVERS)
def test_system_cas_alone_do_not_trust_it(host: str, port: int) -> None:
    with (
        socket.create_connection((host, port), timeout=10) as plain,
        pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"),
    ):
        ssl.create_default_context().wrap_socket(plain, server_hostname=host)


@pytest.mark.parametrize(("host", "port"), SERVERS)
async def test_plain_http_is_refused(http: httpx.AsyncClient, host: str, port: int) -> None:
    with pytest.raises(httpx.TransportError):
        await http.get(f"http://{host}:{port}/health")
