"""No network, no database and no environment: what passes here passes with the engine stopped."""

import os
from collections.abc import Iterator

import pytest
from pytest_socket import disable_socket, enable_socket

from src.core.config import CallbackSettings, OwnerSettings, Settings

VARIABLES = {
    name.upper() for settings in (CallbackSettings, OwnerSettings, Settings) for name in settings.model_fields
} | {"SECRETS_DIR"}


@pytest.fixture(autouse=True)
def _no_network() -> Iterator[None]:
    # An event loop talks to itself through a pair of Unix sockets.
    disable_socket(allow_unix_socket=True)
    yield
    enable_socket()


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES & os.environ.keys():
        monkeypatch.delenv(name)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A complete, valid process environment, already set; change it with ``monkeypatch.setenv``."""
    values = {
        "ENVIRONMENT": "testing",
        "TESTING": "true",
        "DEBUG": "true",
        "DATABASE_URL": "postgresql+asyncpg://owner:s3cret%20%2F%25@db.invalid:5432/dashtam_test",
        "APP_DATABASE_URL": "postgresql+asyncpg://runtime:s3cret%40%3A@db.invalid:5432/dashtam_test",
        "REDIS_URL": "redis://redis.invalid:6379/1",
        "SECRET_KEY": "Zq8vN2xLr4Ta9KpWm3Hs7Yd1Bf6Gc5Ej0UiOoPq",
        "ENCRYPTION_KEY": "v6HpNmfQnEMu_Kti7urtz3HiD2IGvQHdhsciuCTLulY=",
        "RELAY_TOKEN": "mP4xK7cV1bT9zR2nW6qL8sD3fG5hJ0yUaEiOtNk",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return values
