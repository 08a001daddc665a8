"""TLS towards others."""

import ssl
from pathlib import Path


def client_context(ca_file: Path | None) -> ssl.SSLContext:
    """A verifying context that trusts the system's CAs and, in addition, ours.

    In addition: ``SSL_CERT_FILE`` would replace the system's CAs, and the provider could not be reached.
    """
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    return context


def server_context(ca_file: Path | None) -> ssl.SSLContext:
    """A context for PostgreSQL and Redis, which verifies certificate and host name.

    It trusts our CA alone: no other one has a reason to sign for them. Without one it trusts the system's.
    """
    return ssl.create_default_context(cafile=ca_file)
