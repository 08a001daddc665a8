import importlib
from pathlib import Path

import pytest
from click.testing import CliRunner

from src.core.config import CallbackSettings, ConfigurationError
from src.core.web.server import SOURCE, command_line, uvicorn_options


@pytest.fixture
def settings(tmp_path: Path) -> CallbackSettings:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.touch()
    key.touch()
    return CallbackSettings(
        ENVIRONMENT="testing",
        TLS_CERT_FILE=cert,
        TLS_KEY_FILE=key,
        RELAY_TOKEN="mP4xK7cV1bT9zR2nW6qL8sD3fG5hJ0yUaEiOtNk",
    )


def test_tls_by_default(settings: CallbackSettings) -> None:
    options = uvicorn_options(settings, 8182, reload=False)
    assert options["ssl_certfile"] == str(settings.tls_cert_file)
    assert options["ssl_keyfile"] == str(settings.tls_key_file)
    assert options["port"] == 8182
    assert "reload" not in options


def test_nothing_of_a_request_but_what_we_choose_is_logged_or_believed(settings: CallbackSettings) -> None:
    options = uvicorn_options(settings, 8182, reload=False)
    assert options["access_log"] is False
    assert options["proxy_headers"] is False
    assert "forwarded_allow_ips" not in options
    assert Path(options["log_config"]).is_file()


def test_proxies_that_are_named_are_believed(settings: CallbackSettings) -> None:
    trusting = settings.model_copy(update={"trusted_proxies": "192.0.2.0/24,2001:db8::7"})
    options = uvicorn_options(trusting, 8182, reload=False)
    assert options["proxy_headers"] is True
    assert options["forwarded_allow_ips"] == "192.0.2.0/24,2001:db8::7"


def test_tls_can_end_elsewhere(settings: CallbackSettings) -> None:
    plain = settings.model_copy(update={"ssl_enabled": False, "tls_key_file": Path("/nowhere")})
    assert not {"ssl_certfile", "ssl_keyfile"} & uvicorn_options(plain, 8182, reload=False).keys()


def test_reload_watches_the_source_only(settings: CallbackSettings) -> None:
    options = uvicorn_options(settings, 8182, reload=True)
    assert options["reload"] is True
    assert options["reload_dirs"] == str(SOURCE)
    assert {path.name for path in SOURCE.iterdir()} >= {"main.py", "core", "models"}


@pytest.mark.parametrize("name", ["tls_cert_file", "tls_key_file"])
def test_missing_certificate_is_one_line(settings: CallbackSettings, tmp_path: Path, name: str) -> None:
    broken = settings.model_copy(update={name: tmp_path / "missing.pem"})
    with pytest.raises(ConfigurationError) as caught:
        uvicorn_options(broken, 8182, reload=False)
    message = str(caught.value)
    assert message.startswith(f"{name.upper()}: {tmp_path / 'missing.pem'}: No such file")
    assert "make certs" in message
    assert "\n" not in message


def test_uvicorn_understands_the_command_line(
    settings: CallbackSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own parser reads our options back; only the server itself is not started."""
    options = uvicorn_options(settings, 8182, reload=True)
    received: dict[str, object] = {}
    cli = importlib.import_module("uvicorn.main")  # the package has a command of that name
    monkeypatch.setattr(cli, "run", lambda app, **given: received.update(given, app=app))
    result = CliRunner().invoke(cli.main, ["src.main:create_app", *command_line(options)])
    assert result.exit_code == 0, result.output
    assert received["app"] == "src.main:create_app"
    expected = options | {"reload_dirs": (str(SOURCE),)}
    assert {name: received[name] for name in options} == expected
