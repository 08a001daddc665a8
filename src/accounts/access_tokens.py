"""Access tokens: JWTs that say who asks and of which login they come (RFC 7519, RFC 8725).

They end by themselves, and with their login, which whoever reads one has to look up.
"""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import jwt
from pydantic import SecretStr

ALGORITHM = "HS256"
ISSUER = "dashtam"
AUDIENCE = "dashtam-api"
LIFETIME = timedelta(minutes=30)
# Clocks differ a little between hosts, and after a virtual machine has slept.
CLOCK_SKEW = timedelta(seconds=10)


class InvalidAccessTokenError(Exception):
    """Not a token of ours, or one that has ended."""


@dataclass(frozen=True)
class Access:
    """What a token says: who asks, and the login (family of refresh tokens) that it goes back to."""

    user_id: uuid.UUID
    family_id: uuid.UUID


def issue(user_id: uuid.UUID, key: SecretStr, family_id: uuid.UUID, now: datetime | None = None) -> str:
    """A token for a user, good for ``LIFETIME`` from ``now``."""
    issued = now or datetime.now(UTC)
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": str(user_id),
        "sid": str(family_id),
        "iat": issued,
        "exp": issued + LIFETIME,
    }
    return jwt.encode(claims, key.get_secret_value(), ALGORITHM)


def read(token: str, key: SecretStr) -> Access:
    """What this token says; :class:`InvalidAccessTokenError` for anything but a complete token of ours.

    The algorithm is ours to say, never the token's header (RFC 8725, 3.1).
    """
    try:
        claims = jwt.decode(
            token,
            key.get_secret_value(),
            [ALGORITHM],
            audience=AUDIENCE,
            issuer=ISSUER,
            leeway=CLOCK_SKEW,
            options={"require": ["iss", "aud", "sub", "sid", "iat", "exp"]},
        )
        return Access(uuid.UUID(claims["sub"]), uuid.UUID(str(claims["sid"])))
    except (jwt.InvalidTokenError, ValueError):
        raise InvalidAccessTokenError from None
