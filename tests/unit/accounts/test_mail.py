"""Mails, which outside production are lines of the log."""

import logging

import pytest

from src.accounts import mail, secret_tokens
from src.core.config import Settings, load


@pytest.fixture
def settings(environment: dict[str, str]) -> Settings:
    return load(Settings).model_copy(update={"public_url": "https://dashtam.example/"})


@pytest.mark.parametrize(
    ("sent", "line"),
    [
        (
            mail.verification("ann@example.org", "to-ken_1"),
            "Mail to ann@example.org: Confirm your address: https://dashtam.example/verify-email?token=to-ken_1",
        ),
        (
            mail.password_reset("ann@example.org", "to-ken_1"),
            "Mail to ann@example.org: Choose a new password: https://dashtam.example/reset-password?token=to-ken_1",
        ),
    ],
)
async def test_a_mail_is_a_line(
    settings: Settings, caplog: pytest.LogCaptureFixture, sent: mail.Mail, line: str
) -> None:
    caplog.set_level(logging.INFO)
    await mail.send(settings, sent)
    assert caplog.messages == [line]
    assert "to-ken_1" not in repr(sent)


async def test_in_production_nothing_is_pretended(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    production = settings.model_copy(update={"environment": "production"})
    with pytest.raises(mail.MailUnavailable) as refused:
        mail.require_transport(production)
    assert (refused.value.status, refused.value.code) == (503, "mail-unavailable")
    with pytest.raises(mail.MailUnavailable):
        await mail.send(production, mail.verification("ann@example.org", "to-ken_1"))
    assert not caplog.messages
    mail.announce(production)
    assert caplog.messages == ["SMTP_HOST is empty: no mail is sent, registrations and resets answer 503"]


def test_elsewhere_there_is_nothing_to_announce(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    mail.announce(settings)
    assert not caplog.messages


def test_a_server_is_announced(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    mail.announce(settings.model_copy(update={"smtp_host": "smtp.example.org", "environment": "production"}))
    assert caplog.messages == ["Mail is sent by smtp.example.org:587"]


def test_tokens_need_no_quoting_in_a_link_and_do_not_repeat() -> None:
    tokens = {secret_tokens.new() for _ in range(100)}
    assert len(tokens) == 100
    assert all(len(token) == 43 and token.replace("-", "").replace("_", "").isalnum() for token in tokens)


def test_what_is_stored_is_the_hash() -> None:
    assert secret_tokens.hashed("abc").hex().startswith("ba7816bf8f01cfea")  # FIPS 180-4's example
    assert secret_tokens.hashed("\ud800") != secret_tokens.hashed("\udfff")
