"""Where the inbox may run. What it takes and shows is tested over TLS: tests/api/test_mail_inbox.py."""

import pytest

from src import mail_inbox
from src.core.config import ConfigurationError


def test_it_does_not_start_in_production(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENT", "development")
    assert mail_inbox.create_app().state.smtp_port == 1025
    monkeypatch.setenv("ENVIRONMENT", "production")
    with pytest.raises(ConfigurationError, match="is production"):
        mail_inbox.create_app()
    monkeypatch.setattr("sys.argv", ["mail_inbox"])
    assert mail_inbox.main() == 1
