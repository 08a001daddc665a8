import ssl
from pathlib import Path

import pytest

from src.core.tls import client_context

CERTIFICATES = Path(__file__).parent / "certificates"  # their keys were thrown away


def trusted(context: ssl.SSLContext) -> str:
    return str([certificate["subject"] for certificate in context.get_ca_certs()])


@pytest.fixture(autouse=True)
def _system(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's store is a file of ours, so that any machine gives the same answer."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATES / "system.pem"))


def test_verifies() -> None:
    context = client_context(CERTIFICATES / "ours.pem")
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_trusts_the_system_alone_without_a_ca_file() -> None:
    assert "unit test CA: system" in trusted(client_context(None))
    assert "unit test CA: ours" not in trusted(client_context(None))


def test_own_ca_is_added_to_the_systems() -> None:
    context = client_context(CERTIFICATES / "ours.pem")
    assert "unit test CA: ours" in trusted(context)
    assert "unit test CA: system" in trusted(context)


def test_unreadable_ca_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        client_context(tmp_path / "missing.pem")
