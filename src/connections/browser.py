"""What binds a flow to one browser; the callback server has it, too, hence no import that takes time."""

import hashlib

COOKIE_PREFIX = "__Host-dashtam-"


def cookie_name(state: str) -> str:
    """The cookie of the flow with this state.

    One per flow, because browsers send cookies to every port of a host: flows of several instances meet here.
    ``__Host-`` keeps other hosts, and pages without TLS, from setting it (RFC 6265bis, 4.1.3.2).
    """
    return COOKIE_PREFIX + hashlib.sha256(state.encode()).hexdigest()[:16]
