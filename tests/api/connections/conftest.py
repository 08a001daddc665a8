"""The app with the fake Schwab for a provider."""

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from src.callback import relay
from src.connections import transport
from src.core.config import Settings
from src.models import Provider, User
from tests import factories
from tests.api.conftest import Login
from tests.api.fake_schwab import Served
from tests.api.oauth_flow import OAuthFlow


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine fails no test; a test about time says what time it means."""
    monkeypatch.setattr(transport, "TIMEOUT", 60.0)
    monkeypatch.setattr(relay, "CONNECT_TIMEOUT", 60.0)


@pytest.fixture
def app_settings(app_settings: Settings, fake_schwab: Served) -> Settings:
    return app_settings.model_copy(update=fake_schwab.app_settings)


@pytest.fixture
async def provider(session: AsyncSession, user: User) -> Provider:
    return await factories.provider(session, user, alias="Savings")


@pytest.fixture
def flow(client: httpx.AsyncClient, app_settings: Settings, login: Login, fake_schwab: Served) -> OAuthFlow:
    return OAuthFlow(client, app_settings, login, fake_schwab)
