from pathlib import Path

import pytest
from sqlalchemy import make_url
from sqlalchemy.engine import URL

from src.core.config import (
    CallbackSettings,
    ConfigurationError,
    OwnerSettings,
    Settings,
    load,
)
from src.core.database_address import DatabaseAddress
from tests.properties import given, st


def refusal(settings: type[CallbackSettings] | type[OwnerSettings] | type[Settings]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(settings)
    return str(caught.value)


def test_reads_the_environment(environment: dict[str, str]) -> None:
    settings = load(Settings)
    assert settings.environment == "testing"
    assert settings.testing is True
    assert settings.debug is True
    assert settings.db_echo is False
    assert settings.app_port == 8000
    assert settings.secret_key.get_secret_value() == environment["SECRET_KEY"]
    assert settings.schwab_api_key.get_secret_value() == ""


def test_environment_beats_class_default(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APP_PORT", "9000")
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")
    settings = load(Settings)
    assert settings.app_port == 9000
    assert settings.log_level == "DEBUG"


@pytest.mark.parametrize(
    ("value", "expected"),
    [("", ""), (" 10.0.0.7, 192.0.2.0/24 ,2001:db8::/64,", "10.0.0.7,192.0.2.0/24,2001:db8::/64")],
)
def test_trusted_proxies(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, value: str, expected: str
) -> None:
    monkeypatch.setenv("TRUSTED_PROXIES", value)
    assert load(Settings).trusted_proxies == expected


@pytest.mark.parametrize("value", ["*", "proxy.example", "10.0.0.0/33", "10.0.0.7/8", "0.0.0.0/0", "::/0"])
def test_proxies_that_uvicorn_would_misread(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("TRUSTED_PROXIES", value)
    said = refusal(Settings)
    assert said.startswith("TRUSTED_PROXIES: ")
    assert value in said
    assert "\n" not in said


def test_no_env_file_is_read(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("APP_PORT=9001\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert load(Settings).app_port == 8000


def test_other_spellings_do_not_count(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("app_port", "9002")
    assert load(Settings).app_port == 8000
    monkeypatch.delenv("ENVIRONMENT")
    monkeypatch.setenv("environment", "production")
    assert refusal(Settings).startswith("ENVIRONMENT: is not set")


def test_app_has_no_owner_and_callback_has_no_secret(environment: dict[str, str]) -> None:
    assert "database_url" not in Settings.model_fields
    private = {"app_database_url", "database_url", "redis_url", "secret_key", "encryption_key"}
    assert not private & CallbackSettings.model_fields.keys()


@pytest.mark.parametrize("name", ["SECRET_KEY", "ENCRYPTION_KEY"])
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "0 characters"),
        ("short-Zq8vN2xLr4", "16 characters"),
        ("Zq8vN2xLr4Ta9KpWm3Hs7Yd1Bf6Gc5E", "31 characters"),
        ("change-me-change-me-change-me-0123456789", "placeholder"),
        ("ChangeMe0123456789abcdefghijklmnopqrstuv", "placeholder"),
        ("your-secret-key-0123456789abcdefghijklmn", "placeholder"),
        ("placeholder0123456789abcdefghijklmnopqrs", "placeholder"),
        ("<a-random-value-0123456789-abcdefghijkl>", "placeholder"),
        ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "too few different"),
    ],
)
def test_weak_secret_is_refused(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    monkeypatch.setenv(name, value)
    message = refusal(Settings)
    assert len(message.splitlines()) == 1
    assert message.startswith(f"{name}: ")
    assert reason in message
    assert "env/local" in message
    assert not value or value not in message


def test_every_problem_has_its_line(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SECRET_KEY")
    monkeypatch.setenv("APP_PORT", "http")
    lines = refusal(Settings).splitlines()
    assert sorted(line.split(":")[0] for line in lines) == ["APP_PORT", "SECRET_KEY"]


@pytest.mark.parametrize("value", ["Testing", "test", "prod", " testing", ""])
def test_unknown_environment_is_refused(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("ENVIRONMENT", value)
    assert refusal(Settings).startswith("ENVIRONMENT: ")


def test_testing_only_where_testing(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENT", "development")
    assert refusal(Settings).startswith("TESTING: ")


MAIL = {"SMTP_HOST": "smtp.example.org", "MAIL_FROM": "Dashtam <no-reply@example.org>"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, None),
        ({"SMTP_USER": "dashtam", "SMTP_PASSWORD": "s"}, None),
        ({"SMTP_SECURITY": "none"}, None),
        # Without a server nothing else matters.
        ({"SMTP_HOST": "", "MAIL_FROM": "", "SMTP_PASSWORD": "s"}, None),
        ({"MAIL_FROM": ""}, "MAIL_FROM: must be the sender's address"),
        ({"MAIL_FROM": "nobody"}, "MAIL_FROM: must be the sender's address"),
        ({"MAIL_FROM": "a@example.org\nBcc: b@example.org"}, "MAIL_FROM: must be the sender's address"),
        ({"SMTP_USER": "dashtam"}, "SMTP_USER: goes together with SMTP_PASSWORD"),
        ({"SMTP_PASSWORD": "s"}, "SMTP_USER: goes together with SMTP_PASSWORD"),
        ({"SMTP_SECURITY": "none", "SMTP_USER": "dashtam", "SMTP_PASSWORD": "s"}, "SMTP_SECURITY: may be"),
        ({"SMTP_SECURITY": "ssl"}, "SMTP_SECURITY: "),
        ({"SMTP_PORT": "0"}, "SMTP_PORT: "),
    ],
)
def test_mail_settings(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], said: str | None
) -> None:
    for name, value in (MAIL | changes).items():
        monkeypatch.setenv(name, value)
    if said is None:
        assert load(Settings).smtp_port == 587
    else:
        with pytest.raises(ConfigurationError, match=f"^{said}"):
            load(Settings)


def test_mail_needs_tls_in_production(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    others = {"ENVIRONMENT": "production", "TESTING": "false", "DEBUG": "false", "SMTP_SECURITY": "none"}
    for name, value in (MAIL | others).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=r"^SMTP_SECURITY: may be `none` only outside production"):
        load(Settings)


def test_no_debug_in_production(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENT", "production")
    assert refusal(CallbackSettings).startswith("DEBUG: ")


def test_secrets_are_not_shown(environment: dict[str, str]) -> None:
    shown = repr(load(Settings)) + repr(load(OwnerSettings)) + repr(load(OwnerSettings).owner)
    for name in ("SECRET_KEY", "ENCRYPTION_KEY"):
        assert environment[name] not in shown
    assert "s3cret" not in shown


def test_secrets_are_known_to_the_logs(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    second = "gD1nV0sW6bY3cX9kZ2mL5pQ8rT4uJ7hFaEiOtNkSxBw="
    monkeypatch.setenv("ENCRYPTION_KEY", f"{environment['ENCRYPTION_KEY']}, {second}")
    monkeypatch.setenv("SCHWAB_API_SECRET", "schwab-secret")
    values = load(Settings).secret_values() + load(OwnerSettings).secret_values()
    for name in ("SECRET_KEY", "ENCRYPTION_KEY", "RELAY_TOKEN"):
        assert environment[name] in values
    assert {second, "schwab-secret", "s3cret%40%3A", "s3cret%20%2F%25"} <= set(values)
    assert "" not in values
    # Words of every line of the log: hidden, they would make it unreadable.
    assert not {"postgresql", "owner", "dashtam_test", "redis"} & set(values)


@pytest.mark.parametrize("value", ["{key},{key}", "{key},change-me", "{key},", "{short}", "{key};{key}"])
def test_a_bad_list_of_keys_is_one_line_without_any(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    key = environment["ENCRYPTION_KEY"]
    for mode in ("testing", "development", "production"):
        monkeypatch.setenv("ENVIRONMENT", mode)
        monkeypatch.setenv("TESTING", "false")
        monkeypatch.setenv("DEBUG", "false")
        monkeypatch.setenv("ENCRYPTION_KEY", value.format(key=key, short=key[:40]))
        message = refusal(Settings)
        assert message.startswith("ENCRYPTION_KEY: ")
        assert len(message.splitlines()) == 1
        assert key[:40] not in message


def test_addresses(environment: dict[str, str]) -> None:
    settings = load(OwnerSettings)
    assert settings.owner == DatabaseAddress("owner", "s3cret /%", "db.invalid", 5432, "dashtam_test")
    assert settings.runtime.password == "s3cret@:"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "dashtam",
        "postgresql://owner:s3cret@postgres:5432/dashtam",
        "postgresql+psycopg://owner:s3cret@postgres:5432/dashtam",
        "postgresql+asyncpg://owner@postgres:5432/dashtam",
        "postgresql+asyncpg://:s3cret@postgres:5432/dashtam",
        "postgresql+asyncpg://owner:s3cret@postgres:5432/",
        "postgresql+asyncpg://owner:s3cret@postgres:5432",
        "postgresql+asyncpg://owner:s3cret@/dashtam",
        "postgresql+asyncpg://owner:s3cret@postgres:port/dashtam",
        "postgresql+asyncpg://owner:s3cret@postgres:5432/dashtam_test?database=dashtam",
        "postgresql+asyncpg://owner:s3cret@postgres:5432/dashtam#other",
        "postgresql+asyncpg://owner:s3cret@postgres:5432/dash/tam",
        "postgresql+asyncpg://owner:s3cret@postgres:5432/dash%74am",
        "postgresql+asyncpg://owner:s3c@ret@postgres:5432/dashtam",
        "postgresql+asyncpg://owner:s3c/ret@postgres:5432/dashtam",
    ],
)
def test_bad_url_is_refused_without_showing_it(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    message = refusal(OwnerSettings)
    assert len(message.splitlines()) == 1
    assert message.startswith("DATABASE_URL: cannot be read")
    assert "s3c" not in message


def test_placeholder_password_is_refused(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APP_DATABASE_URL", "postgresql+asyncpg://app:changeme@postgres:5432/dashtam")
    assert "placeholder" in refusal(Settings)
    assert "placeholder" in refusal(OwnerSettings)


@given(
    user=st.from_regex(r"[a-z_]{1,20}", fullmatch=True),
    password=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30),
    port=st.integers(1, 65535),
    database=st.from_regex(r"[a-z_]{1,20}", fullmatch=True),
)
def test_reads_a_url_as_the_driver_does(user: str, password: str, port: int, database: str) -> None:
    """We wait where SQLAlchemy will connect: two parsers, one answer, whatever the password."""
    rendered = URL.create("postgresql+asyncpg", user, password, "postgres", port, database).render_as_string(
        hide_password=False
    )
    ours, theirs = DatabaseAddress.parse(rendered), make_url(rendered)
    assert ours.password == password
    for part in ("username", "password", "host", "port", "database"):
        assert getattr(ours, part) == getattr(theirs, part)
