"""A folder's CA and server certificates: where the files are, and why new ones must be made.

OpenSSL verifies them in a TLS handshake in memory, just as it does in the clients that will meet them. That
needs only Python's own ``ssl``. cryptography's verifier is no choice: it rejects the CA's name constraints,
because a DNS name in them starts with a dot (RFC 5280, 4.2.1.10, gives a meaning to that form for URIs only).
"""

from __future__ import annotations

import contextlib
import hashlib
import ssl
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ansible_collections.dashtam.stack.plugins.module_utils import certificate_making
from ansible_collections.dashtam.stack.plugins.module_utils.certificate_making import DAY, general_name
from ansible_collections.dashtam.stack.plugins.module_utils.local_action import Problem
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

# Level 3 requires 128 bits of security (SSL_CTX_set_security_level), which the role's P-256 and SHA-256 have.
CIPHERS = "DEFAULT:@SECLEVEL=3"
# The two ends of a lifetime are computed one after the other.
ROUNDING = timedelta(minutes=1)


@dataclass(frozen=True)
class Wanted:
    """What a good set looks like."""

    names: frozenset[str]
    renew_before: timedelta
    server_lifetime: timedelta
    ca_lifetime: timedelta
    key_owner: int


class Files:
    """Where the files of a CA and of one server are; a server with a name has it before its files' names."""

    def __init__(self, folder: Path, server: str = "") -> None:
        self.folder, self.private, self.ca = folder, folder / "private", folder / "ca.pem"
        self.cert, self.key = (folder / f"{server}{'-' * bool(server)}{kind}.pem" for kind in ("cert", "key"))
        self.ca_key = self.private / "ca-key.pem"


@dataclass(frozen=True)
class State:
    """Why the CA or the server certificate must be made (empty: it need not); a good set's fingerprint."""

    ca: str = ""
    server: str = ""
    fingerprint: str = ""

    @property
    def reason(self) -> str:
        return self.ca or self.server


def alternative_names(certificate: x509.Certificate) -> set[x509.GeneralName]:
    """Return the names of the server that the certificate is for."""
    with contextlib.suppress(x509.ExtensionNotFound):
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return {general_name(str(name.value)) for name in names}
    return set()


def load(path: Path) -> x509.Certificate | None:
    """Return the certificate, or None if the file is missing or holds none."""
    with contextlib.suppress(FileNotFoundError, IsADirectoryError, ValueError):
        return x509.load_pem_x509_certificate(path.read_bytes())
    return None


def opens(key: Path, certificate: x509.Certificate) -> bool:
    """Say whether the private key is the certificate's."""
    with contextlib.suppress(FileNotFoundError, IsADirectoryError, ValueError, TypeError):
        return load_pem_private_key(key.read_bytes(), None).public_key() == certificate.public_key()
    return False


def exposed(key: Path) -> bool:
    """Say whether others than its owner can reach the private key: it counts as known to them."""
    return key.exists() and bool(key.stat().st_mode & 0o077) and bool(key.parent.stat().st_mode & 0o011)


def refusal(ca: Path, cert: Path, key: Path, name: str) -> str:
    """Return why a client that trusts only this CA rejects a server of that name; empty if it accepts it."""
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client_side = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_side.verify_flags |= ssl.VERIFY_X509_STRICT
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        for side in (server_side, client_side):
            side.set_ciphers(CIPHERS)
        server_side.load_cert_chain(cert, key)
        client_side.load_verify_locations(ca)
        client = client_side.wrap_bio(to_client, to_server, server_hostname=name)
        server = server_side.wrap_bio(to_server, to_client, server_side=True)
        for end in (client, server) * 3:
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
                if end is client:
                    return ""
    except ssl.SSLCertVerificationError as error:
        return f"OpenSSL rejects it: {error.verify_message}"
    except ssl.SSLError as error:
        return f"OpenSSL rejects it: {str(error.reason).replace('_', ' ').lower()}"
    return "OpenSSL did not finish the handshake"


def may_not_sign(files: Files, ca: x509.Certificate, names: Iterable[str]) -> str:
    """Return why this CA, whose key is there, must not sign for the names; empty if it may."""
    ca_key = load_pem_private_key(files.ca_key.read_bytes(), None)
    reasons = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in sorted(names):
            pair = Path(folder, "pair.pem")
            # What may not sign, cryptography refuses by itself.
            pair.write_bytes(b"".join(certificate_making.server(ca, ca_key, [name], days=2)))
            reasons[name] = refusal(files.ca, pair, pair, name)
    refused = [name for name, reason in reasons.items() if reason]
    if len(refused) == len(reasons):
        return f"what the old one signs is refused ({next(iter(reasons.values()))})"
    return f"the old one may not sign for {', '.join(refused)}" if refused else ""


def too_long(certificate: x509.Certificate, lifetime: timedelta) -> bool:
    """Say whether the certificate lives longer than the role would make it."""
    return certificate.not_valid_after_utc - certificate.not_valid_before_utc > lifetime + ROUNDING


def why_not_ca(ca: x509.Certificate | None, files: Files, wanted: Wanted, now: datetime) -> str:
    """Return why there must be a new CA. It must outlive every certificate that it signs."""
    if ca is None:
        return "it is missing"
    if exposed(files.ca_key):
        return "others could read the old one's key"
    if ca.not_valid_after_utc - now < wanted.server_lifetime:
        return f"the old one expires on {ca.not_valid_after_utc:%Y-%m-%d}, before the next certificate would"
    if too_long(ca, wanted.ca_lifetime + DAY):
        return f"the old one is valid for too long, until {ca.not_valid_after_utc:%Y-%m-%d}"
    return ""


def why_not_server(files: Files, wanted: Wanted, now: datetime) -> str:
    """Return why there must be a new server certificate."""
    certificate = load(files.cert)
    if certificate is None:
        return "it is missing"
    if not opens(files.key, certificate):
        return f"{files.key.name} does not belong to it"
    if exposed(files.key):
        return f"others could read {files.key.name}"
    if alternative_names(certificate) != set(map(general_name, wanted.names)):
        return "its names differ"
    if certificate.not_valid_after_utc - now < wanted.renew_before:
        return f"it expires on {certificate.not_valid_after_utc:%Y-%m-%d}"
    if too_long(certificate, wanted.server_lifetime):
        return f"it is valid for too long, until {certificate.not_valid_after_utc:%Y-%m-%d}"
    return refusal(files.ca, files.cert, files.key, min(wanted.names))


def inspect(files: Files, wanted: Wanted, now: datetime | None = None) -> State:
    """Judge what the folder holds.

    :raises Problem: only a person can decide, as the key of a CA that is still good is missing.
    """
    now = now or datetime.now(UTC)
    ca = load(files.ca)
    ca_reason = why_not_ca(ca, files, wanted, now)
    server_reason = why_not_server(files, wanted, now) if ca else "its CA is missing"
    if server_reason and not ca_reason and ca is not None:
        if not files.ca_key.exists():
            raise Problem(
                f"{files.cert}: a new certificate is needed ({server_reason}), but the key of ca.pem is "
                f"missing: restore {files.ca_key}, or delete {files.ca} for a new CA, to be trusted again"
            )
        if not opens(files.ca_key, ca):
            ca_reason = "the CA's key does not belong to ca.pem"
        else:
            ca_reason = may_not_sign(files, ca, wanted.names)
    if ca_reason:
        return State(ca_reason, server_reason or "its CA is replaced")
    if server_reason:
        return State(server=server_reason)
    chain = b"".join(
        x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(Encoding.DER)
        for path in (files.ca, files.cert)
    )
    return State(fingerprint=hashlib.sha256(chain).hexdigest())
