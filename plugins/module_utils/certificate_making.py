"""Certificates as clients accept them: a CA's own, limited to some names, and those that it signs."""

from __future__ import annotations

import contextlib
import ipaddress
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from ansible_collections.dashtam.stack.plugins.module_utils.local_action import Problem
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = timedelta(days=1)
NO_USE = dict.fromkeys(
    (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
        *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    ),
    False,
)


def general_name(name: str) -> x509.GeneralName:
    """Return a name or an address as certificates hold it, in the one spelling that compares equal.

    :raises Problem: it is neither.
    """
    with contextlib.suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(name))
    try:
        return x509.DNSName(name.lower())
    except ValueError:
        raise Problem(f"certificates: {name} is no address and no name in ASCII; correct it") from None


def authority(name: str, permitted: Iterable[str], days: int) -> tuple[bytes, bytes]:
    """Make a CA that may sign for some names alone.

    :param name: the beginning of its common name.
    :param permitted: DNS names, addresses and networks; a DNS name with a dot permits what is below it, too.
    :param days: how long it is good.
    :returns: the certificate and its key, as PEM.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    # A part of its own: trust stores tell CAs apart by their names.
    subject = _subject(f"{name} {secrets.token_hex(3)}")
    names = [_permitted(each) for each in permitted]
    # To permit `app` is to permit all below it, and .app is a domain of the internet.
    alone = [
        x509.DNSName(f".{each.value}")
        for each in names
        if isinstance(each, x509.DNSName) and "." not in each.value and each.value != "localhost"
    ]
    usage = x509.KeyUsage(**NO_USE | {"key_cert_sign": True, "crl_sign": True})
    certificate = (
        _builder(subject, subject, key, days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.NameConstraints(names or None, alone or None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return _pem(certificate, key)


def server(ca: x509.Certificate, ca_key: Any, names: Iterable[str], days: int) -> tuple[bytes, bytes]:
    """Make a server's certificate, signed by a CA.

    :param days: how long it is good, with the day before now: Apple counts from the first to the last.
    :returns: the certificate and its key, as PEM.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    alternative = x509.SubjectAlternativeName([general_name(name) for name in sorted(names)])
    builder = (
        _builder(_subject("localhost"), ca.subject, key, days - 1)
        .add_extension(alternative, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**NO_USE | {"digital_signature": True}), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )
    with contextlib.suppress(x509.ExtensionNotFound):
        identifier = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        issuer = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
        builder = builder.add_extension(issuer, critical=False)
    with_digest = isinstance(ca_key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey)
    return _pem(builder.sign(ca_key, hashes.SHA256() if with_digest else None), key)


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _permitted(name: str) -> x509.GeneralName:
    with contextlib.suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_network(name, strict=False))
    return general_name(name)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        # A virtual machine's clock may be behind.
        .not_valid_before(now - DAY)
        .not_valid_after(now + days * DAY)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _pem(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> tuple[bytes, bytes]:
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM), text
