"""A folder's CA and server certificate: where the files are, and why new ones must be made."""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

Extension = TypeVar("Extension", bound=x509.ExtensionType)


class Problem(Exception):
    """What is wrong, where, and what to do next, in one line."""


@dataclass(frozen=True)
class Wanted:
    """What a good set looks like."""

    names: frozenset[str]
    renew_before: timedelta
    server_lifetime: timedelta
    key_owner: int


class Files:
    """Where the files of a set are."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.private = folder, folder / "private"
        self.ca, self.cert, self.key = (folder / f"{name}.pem" for name in ("ca", "cert", "key"))
        self.ca_key = self.private / "ca-key.pem"


@dataclass(frozen=True)
class State:
    """Why the CA or the server certificate must be made (empty: it need not); a good set's fingerprint."""

    ca: str = ""
    server: str = ""
    fingerprint: str = ""


def general_name(name: str) -> x509.GeneralName:
    """Return a name as certificates hold it, in the one spelling that compares equal."""
    with contextlib.suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(name))
    return x509.DNSName(name.lower())


def extension(certificate: x509.Certificate, kind: type[Extension]) -> Extension | None:
    """Return the certificate's extension of a kind, or None."""
    with contextlib.suppress(x509.ExtensionNotFound):
        return certificate.extensions.get_extension_for_class(kind).value
    return None


def covers(constraint: x509.GeneralName, name: x509.GeneralName) -> bool:
    """Match as RFC 5280 does: a DNS name covers itself and all below it, with a leading dot only those."""
    if isinstance(constraint, x509.DNSName) and isinstance(name, x509.DNSName):
        base = constraint.value.lower()
        return name.value == base or name.value.endswith(f".{base.removeprefix('.')}")
    return (
        isinstance(constraint, x509.IPAddress)
        and isinstance(constraint.value, ipaddress.IPv4Network | ipaddress.IPv6Network)
        and isinstance(name, x509.IPAddress)
        and name.value in constraint.value
    )


def not_permitted(ca: x509.Certificate, names: Iterable[str]) -> list[str]:
    """Return the names for which this CA may not sign."""
    constraints = extension(ca, x509.NameConstraints)
    if constraints is None:
        return []

    def matches(subtrees: list[x509.GeneralName] | None, name: str) -> bool:
        return any(covers(subtree, general_name(name)) for subtree in subtrees or [])

    permitted, excluded = constraints.permitted_subtrees, constraints.excluded_subtrees
    return sorted(name for name in names if not matches(permitted, name) or matches(excluded, name))


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


def signed_by(certificate: x509.Certificate, ca: x509.Certificate | None) -> bool:
    """Say whether the CA's key made the certificate's signature."""
    if ca is not None:
        with contextlib.suppress(ValueError, TypeError, InvalidSignature):
            certificate.verify_directly_issued_by(ca)
            return True
    return False


def why_not_ca(ca: x509.Certificate | None, wanted: Wanted, now: datetime) -> str:
    """Return why there must be a new CA. It must outlive every certificate that it signs."""
    if ca is None:
        return "it is missing"
    constraints = extension(ca, x509.BasicConstraints)
    if constraints is None or not constraints.ca:
        return "ca.pem is no CA's certificate"
    if ca.not_valid_after_utc - now < wanted.server_lifetime:
        return f"the old one ends on {ca.not_valid_after_utc:%Y-%m-%d}, before the next certificate would"
    if missing := not_permitted(ca, wanted.names):
        return f"the old one may not sign for {', '.join(missing)}"
    return ""


def why_not_server(files: Files, ca: x509.Certificate | None, wanted: Wanted, now: datetime) -> str:
    """Return why there must be a new server certificate."""
    certificate = load(files.cert)
    if certificate is None:
        return "it is missing"
    if certificate.not_valid_after_utc - now < wanted.renew_before:
        return f"it ends on {certificate.not_valid_after_utc:%Y-%m-%d}"
    has = {
        general_name(str(name.value)) for name in extension(certificate, x509.SubjectAlternativeName) or ()
    }
    if has != set(map(general_name, wanted.names)):
        return "its names are others"
    if not opens(files.key, certificate):
        return "key.pem does not belong to it"
    return "" if signed_by(certificate, ca) else "another CA signed it"


def inspect(files: Files, wanted: Wanted, now: datetime | None = None) -> State:
    """Judge what the folder holds.

    :raises Problem: only a person can decide, as the key of a CA that is still good is missing.
    """
    now = now or datetime.now(UTC)
    ca = load(files.ca)
    ca_reason, server_reason = why_not_ca(ca, wanted, now), why_not_server(files, ca, wanted, now)
    if server_reason and not ca_reason and ca is not None and not opens(files.ca_key, ca):
        if not files.ca_key.exists():
            raise Problem(
                f"{files.cert}: a new certificate is needed ({server_reason}), but the key of ca.pem is "
                f"missing: restore {files.ca_key}, or delete {files.ca} for a new CA, to be trusted again"
            )
        ca_reason = "the CA's key does not belong to ca.pem"
    if ca_reason:
        return State(ca_reason, server_reason or "its CA is replaced")
    if server_reason:
        return State(server=server_reason)
    chain = b"".join(
        x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(Encoding.DER)
        for path in (files.ca, files.cert)
    )
    return State(fingerprint=hashlib.sha256(chain).hexdigest())
