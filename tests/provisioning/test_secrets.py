"""What counts as a secret is said once, and it is hidden wherever a text is shown."""

from __future__ import annotations

import pytest

from tests.by_path import load

secrets = load("plugins/module_utils/secrets.py")


@pytest.mark.parametrize(
    "name",
    [
        *("POSTGRES_PASSWORD", "SECRET", "SECRET_KEY", "SCHWAB_API_KEY", "SCHWAB_API_SECRET", "APIKEY"),
        *(
            "ENCRYPTION_KEY",
            "ACCESS_TOKEN",
            "REFRESH_TOKENS",
            "requirepass",
            "masterauth",
            "tls-key-file-pass",
        ),
    ],
)
def test_secrets(name: str) -> None:
    assert secrets.is_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        "TLS_KEY_FILE",
        "DB_PASSWORD_FILE",
        "SCHWAB_TOKEN_URL",
        "ACCESS_TOKEN_MINUTES",
        "MONKEY",
        "DATABASE_URL",
        "maxmemory",
    ],
)
def test_what_may_be_shown(name: str) -> None:
    assert not secrets.is_secret(name)


def test_a_url_is_shown_without_its_password() -> None:
    assert secrets.masked("DATABASE_URL", "sql://me:p@ss@host/name") == "sql://me:***@host/name"
    assert secrets.masked("DATABASE_URL", None) is None
    assert secrets.masked("PASSWORD", "canary") == "***"


def test_a_text_is_shown_without_the_secrets_of_an_environment() -> None:
    env = {"URL": "sql://me:p%40ss@host", "TOKEN": "p%40ss-and-more", "PORT": 5432, "A_KEY": "abc"}
    text = "p%40ss-and-more p@ss p%40ss 5432 abc http://a:other@b"
    assert secrets.redacted(text, env) == "*** *** *** 5432 abc http://a:***@b"
