"""The fake Schwab, served over TLS to whatever a test runs.

Let an app use it by overriding its settings where the tests are::

    @pytest.fixture
    def app_settings(app_settings: Settings, fake_schwab: Served) -> Settings:
        return app_settings.model_copy(update=fake_schwab.app_settings)
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import SecretStr

from src.core.config import Settings, load
from src.fake_schwab import create_app
from src.fake_schwab.provider import FakeSchwab
from tests.api.served import served


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
    redirect_uri = load(Settings).schwab_redirect_uri
    provider = FakeSchwab("fake-schwab-key", "fake-schwab-secret", redirect_uri)
    with served(create_app(provider)) as url:
        yield Served(provider, url)


@pytest.fixture
def fake_schwab(_fake_schwab_served: Served) -> Iterator[Served]:
    """As if it had just been started."""
    _fake_schwab_served.provider.reset()
    yield _fake_schwab_served
    _fake_schwab_served.provider.reset()
