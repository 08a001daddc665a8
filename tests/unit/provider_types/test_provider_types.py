from datetime import timedelta
from pathlib import Path

import pytest

from src import provider_types
from src.core.config import Settings, load

SECOND = """
from datetime import timedelta

from pydantic import SecretStr

from src.provider_types import ProviderType


def define(settings):
    return ProviderType(
        key="{key}",
        name="A Bank",
        client_id="id",
        client_secret=SecretStr("secret"),
        redirect_uri="https://127.0.0.1:8182/bank",
        authorize_url="https://bank.example/authorize",
        token_url="https://bank.example/token",
        access_token_lifetime=timedelta(hours=1),
    )
"""


@pytest.fixture
def settings(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("SCHWAB_API_KEY", "the-key")
    monkeypatch.setenv("SCHWAB_API_SECRET", "the-secret")
    monkeypatch.setenv("SCHWAB_REDIRECT_URI", "https://127.0.0.1:8182")
    return load(Settings)


def test_schwab(settings: Settings) -> None:
    schwab = provider_types.define_all(settings)["schwab"]
    assert (schwab.authorize_url, schwab.token_url) == (
        "https://api.schwabapi.com/v1/oauth/authorize",
        "https://api.schwabapi.com/v1/oauth/token",
    )
    assert schwab.redirect_uri == "https://127.0.0.1:8182"
    assert schwab.client_auth_method == "client_secret_basic"
    assert schwab.access_token_lifetime == timedelta(minutes=30)
    assert schwab.refresh_token_lifetime == timedelta(days=7)
    assert schwab.revoke_url is None
    assert schwab.is_configured


@pytest.mark.parametrize("missing", ["SCHWAB_API_KEY", "SCHWAB_API_SECRET"])
def test_schwab_without_credentials(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.delenv(missing)
    assert not provider_types.define_all(load(Settings))["schwab"].is_configured


def test_credentials_do_not_show(settings: Settings) -> None:
    shown = repr(provider_types.define_all(settings))
    assert "Charles Schwab" in shown
    assert "the-key" not in shown
    assert "the-secret" not in shown


def test_a_second_provider_joins_with_one_file(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "second_bank.py").write_text(SECOND.format(key="bank"))
    monkeypatch.setattr(provider_types, "__path__", [*provider_types.__path__, str(tmp_path)])
    assert list(provider_types.define_all(settings)) == ["bank", "schwab"]


def test_a_key_belongs_to_one(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "impostor.py").write_text(SECOND.format(key="schwab"))
    monkeypatch.setattr(provider_types, "__path__", [*provider_types.__path__, str(tmp_path)])
    with pytest.raises(ValueError, match="'schwab' is defined already"):
        provider_types.define_all(settings)
