import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from src.core.security.tls import client_context, server_context


def make_ca(path: Path, name: str) -> Path:
    """A CA's certificate; its key is thrown away."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(certificate.public_bytes(Encoding.PEM))
    return path


def trusted(context: ssl.SSLContext) -> str:
    return str([certificate["subject"] for certificate in context.get_ca_certs()])


@pytest.fixture(autouse=True)
def _system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The system's store is a file of ours, so that any machine gives the same answer."""
    monkeypatch.setenv("SSL_CERT_FILE", str(make_ca(tmp_path / "system.pem", "unit test CA: system")))


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    return make_ca(tmp_path / "ours.pem", "unit test CA: ours")


def test_verifies(ours: Path) -> None:
    context = client_context(ours)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_trusts_the_system_alone_without_a_ca_file() -> None:
    assert "unit test CA: system" in trusted(client_context(None))
    assert "unit test CA: ours" not in trusted(client_context(None))


def test_own_ca_is_added_to_the_systems(ours: Path) -> None:
    context = client_context(ours)
    assert "unit test CA: ours" in trusted(context)
    assert "unit test CA: system" in trusted(context)


def test_unreadable_ca_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        client_context(tmp_path / "missing.pem")


def test_postgresql_and_redis_are_trusted_by_our_ca_alone(ours: Path) -> None:
    context = server_context(ours)
    assert "unit test CA: ours" in trusted(context)
    assert "unit test CA: system" not in trusted(context)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
