"""The metrics' own listener, on a real port."""

import socket
from pathlib import Path

import httpx
import pytest

from src.core.config import ConfigurationError, Settings
from src.core.security.tls import client_context
from src.core.web.metrics import Metrics, served


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        found: int = free.getsockname()[1]
    return found


def sockets() -> set[str]:
    """Return the sockets of this process."""
    links = (str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.is_symlink())
    return {link for link in links if link.startswith("socket:")}


async def ask(settings: Settings, port: int) -> httpx.Response:
    async with httpx.AsyncClient(verify=client_context(settings.tls_ca_file)) as client:
        return await client.get(f"https://localhost:{port}/metrics")


async def test_it_answers_over_tls_and_ends_with_the_app(app_settings: Settings, port: int) -> None:
    metrics = Metrics()
    metrics.observe({"method": "GET"}, "/health", 200, 0.01)
    # As one reload after the other; a connection that stays open does not hold the port.
    for _ in range(2):
        async with (
            served(metrics, app_settings, port),
            httpx.AsyncClient(verify=client_context(app_settings.tls_ca_file)) as client,
        ):
            response = await client.get(f"https://localhost:{port}/metrics")
            assert 'http_requests_total{method="GET",route="/health",status="200"} 1.0' in response.text
    with pytest.raises(httpx.ConnectError):
        await ask(app_settings, port)


async def test_a_port_that_is_in_use_is_said(app_settings: Settings, port: int) -> None:
    with socket.create_server(("127.0.0.1", port)):
        said = f"METRICS_PORT: {port}: Address already in use; choose another port"
        with pytest.raises(ConfigurationError, match=said):
            async with served(Metrics(), app_settings, port):
                pass


async def test_without_a_port_there_is_no_listener(app_settings: Settings) -> None:
    before = sockets()
    async with served(Metrics(), app_settings, None):
        assert sockets() == before
