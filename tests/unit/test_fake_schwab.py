"""Where the fake Schwab may run. What it answers is tested over TLS: tests/api/test_fake_schwab.py."""

import logging

import pytest
from starlette.routing import Route

from src import fake_schwab
from src.core.config import ConfigurationError

CLIENT = {
    "ENVIRONMENT": "development",
    "SCHWAB_API_KEY": "fake-schwab-key",
    "SCHWAB_API_SECRET": "fake-schwab-secret",
    "SCHWAB_REDIRECT_URI": "https://127.0.0.1:8182",
}


@pytest.fixture(autouse=True)
def _own_variables_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CLIENT.items():
        monkeypatch.setenv(name, value)


def test_its_own_variables_are_enough() -> None:
    routes = fake_schwab.create_app().routes
    paths = {route.path for route in routes if isinstance(route, Route)}
    assert paths >= {"/v1/oauth/authorize", "/health"}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ENVIRONMENT", "production", "ENVIRONMENT: is production, where nobody"),
        ("SCHWAB_API_KEY", "", "SCHWAB_API_KEY: "),
        ("SCHWAB_API_SECRET", "", "SCHWAB_API_SECRET: "),
        ("FAKE_SCHWAB_PORT", "0", "FAKE_SCHWAB_PORT: "),
        ("TLS_CERT_FILE", "/nowhere", "TLS_CERT_FILE: /nowhere"),
    ],
)
def test_it_does_not_start_otherwise(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.argv", ["fake_schwab"])
    assert fake_schwab.main() == 1
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert errors[0].startswith(said)


def test_nor_by_uvicorn_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENT", "production")
    with pytest.raises(ConfigurationError, match="is production"):
        fake_schwab.create_app()
