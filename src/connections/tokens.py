"""A connection's tokens, between what a provider gave and what is stored."""

from dataclasses import dataclass, field

from src.connections.oauth_client import Grant
from src.core.security.encryption import DecryptionError, Keyring
from src.models import ProviderToken

TABLE = "provider_tokens"


@dataclass(frozen=True)
class Tokens:
    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    id_token: str | None = field(repr=False)


def from_grant(grant: Grant) -> Tokens:
    return Tokens(grant.access_token, grant.refresh_token, grant.id_token)


def read(row: ProviderToken, keyring: Keyring) -> Tokens:
    """The tokens in clear. Raises :class:`DecryptionError`."""

    def decrypt(column: str) -> str | None:
        value = getattr(row, f"{column}_encrypted")
        if value is None:
            return None
        return keyring.decrypt(value, table=TABLE, column=f"{column}_encrypted", row_id=row.id)

    access_token = decrypt("access_token")
    if access_token is None:
        raise DecryptionError(f"{TABLE} of {row.id}: no access token")
    return Tokens(access_token, decrypt("refresh_token"), decrypt("id_token"))


def write(row: ProviderToken, keyring: Keyring, grant: Grant, kept: Tokens | None = None) -> None:
    """Put what was granted into ``row``; what the provider left out stays as ``kept`` has it.

    Everything is encrypted again, also what is kept: a row has one key.
    """
    tokens = {
        "access_token": grant.access_token,
        "refresh_token": grant.refresh_token or (kept.refresh_token if kept else None),
        "id_token": grant.id_token or (kept.id_token if kept else None),
    }
    for name, value in tokens.items():
        column = f"{name}_encrypted"
        encrypted = value and keyring.encrypt(value, table=TABLE, column=column, row_id=row.id)
        setattr(row, column, encrypted)
    row.key_id = keyring.primary_id
    row.token_type = grant.token_type
    # RFC 6749, 5.1 and 6: left out, it is what it was.
    row.scope = grant.scope if grant.scope is not None else row.scope
    row.expires_at = grant.expires_at
