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
