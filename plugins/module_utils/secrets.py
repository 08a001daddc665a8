"""What counts as a secret, in the environment of a container and in the settings of a server."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

# DB_PASSWORD, requirepass, masterauth, CLIENT_SECRET, ACCESS_TOKEN, API_KEY, KEYS. TLS_KEY_FILE and
# DB_PASSWORD_FILE are paths, TOKEN_URL is an address and ACCESS_TOKEN_MINUTES a number.
SECRET = re.compile(
    r"^(?!.*_FILE$).*(pass|secret|credential|auth$|tokens?$|(^|[_-]|api)keys?$)", re.IGNORECASE
)
# Up to the last @: a password may hold one.
URL_PASSWORD = re.compile(r"(://[^:/@\s]*:)(.*)@")
# What a link or a header hands over, of which no environment knows: mailed links, codes of OAuth, our API's
# access tokens (JSON Web Tokens, whose header begins with {").
LINK = re.compile(r"([?&#](?:[\w-]*token|code|state|password|secret|api_?key)=)[^&#\s\"'<>]+", re.IGNORECASE)
HEADER = re.compile(r"\b(authorization\W{1,4}\w+|Bearer) +[\w.~+/=-]{8,}", re.IGNORECASE)
ACCESS_TOKEN = re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*")
MASK = "***"
# Shorter values would be replaced inside ordinary words.
SHORTEST = 4


def is_secret(name: str) -> bool:
    """Say whether the whole value of a variable or setting of this name is a secret."""
    return SECRET.search(name) is not None


def masked(name: str, value: str | None) -> str | None:
    """Return a value that may be shown: none of a secret, a URL without its password."""
    if value is None:
        return None
    return MASK if is_secret(name) else URL_PASSWORD.sub(rf"\1{MASK}@", value)


def redacted(text: str, env: Mapping[str, Any]) -> str:
    """Return a text without an environment's secrets, passwords in URLs, and tokens in links and headers."""
    secrets = {str(value) for name, value in env.items() if is_secret(name)}
    for url in (URL_PASSWORD.search(str(value)) for value in env.values()):
        secrets |= {url[2], unquote(url[2])} if url else set()
    # The longest first, as one may be a part of another.
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= SHORTEST:
            text = text.replace(secret, MASK)
    text = HEADER.sub(rf"\1 {MASK}", LINK.sub(rf"\1{MASK}", URL_PASSWORD.sub(rf"\1{MASK}@", text)))
    return ACCESS_TOKEN.sub(MASK, text)
