"""The fake Schwab, served for real: a thread of this worker, TLS with the environment's certificate.

Let an app use it by overriding its settings where the tests are::

    @pytest.fixture
    def app_settings(app_settings: Settings, fake_schwab: Served) -> Settings:
        return app_settings.model_copy(update=fake_schwab.app_settings)
"""

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn
from pydantic import SecretStr

from src.core.config import Settings, load
from src.fake_schwab import FakeSchwab, create_app

PATIENCE = 30


@dataclass(frozen=True)
class Served:
    """Where it is; ``provider.switches`` says what goes wrong, ``provider.answered`` what was asked."""

    provider: FakeSchwab
    url: str

    @property
    def app_settings(self) -> dict[str, Any]:
        """What an app that uses it has in its :class:`Settings`."""
        return {
            "schwab_authorize_url": f"{self.url}/v1/oauth/authorize",
            "schwab_token_url": f"{self.url}/v1/oauth/token",
            "schwab_api_key": SecretStr(self.provider.client_id),
            "schwab_api_secret": SecretStr(self.provider.client_secret),
            "schwab_redirect_uri": self.provider.redirect_uri,
        }


@pytest.fixture(scope="session")
def _fake_schwab_served() -> Iterator[Served]:
    settings = load(Settings)
    provider = FakeSchwab("fake-schwab-key", "fake-schwab-secret", settings.schwab_redirect_uri)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(provider),
            ssl_certfile=settings.tls_cert_file,
            ssl_keyfile=settings.tls_key_file,
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            # A test that lets it be slow does not wait for it.
            timeout_graceful_shutdown=0,
        )
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="fake-schwab")
    thread.start()
    deadline = time.monotonic() + PATIENCE
    while not server.started and thread.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.started, "the fake Schwab did not start"
    yield Served(provider, f"https://localhost:{listener.getsockname()[1]}")
    server.should_exit = True
    thread.join(PATIENCE)
    assert not thread.is_alive(), "the fake Schwab did not stop"


@pytest.fixture
def fake_schwab(_fake_schwab_served: Served) -> Iterator[Served]:
    """As if it had just been started."""
    _fake_schwab_served.provider.reset()
    yield _fake_schwab_served
    _fake_schwab_served.provider.reset()
