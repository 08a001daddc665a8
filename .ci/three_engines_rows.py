"""Run inside the app's container: a user whose login and whose provider's token need the secrets.

    python -c "$(cat three_engines_rows.py)" make|read

Both print an access token. `read` fails unless the provider's token opens with the one key that there is.
"""

from __future__ import annotations

import asyncio
import sys
import uuid
from datetime import UTC, datetime, timedelta

from src.accounts.access_tokens import issue
from src.core.config import Settings, load
from src.core.database import create_engine, create_sessions
from src.core.security.encryption import Keyring
from src.models import Provider, ProviderConnection, ProviderToken, User
from src.models.account import RefreshToken

USER = uuid.UUID(int=1)
TOKEN = "three engines"  # noqa: S105 - protects nothing


async def make(settings: Settings, keyring: Keyring) -> None:
    """Insert the rows, as the app would have."""
    now = datetime.now(UTC)
    later = now + timedelta(days=1)
    sealed = keyring.encrypt(TOKEN, table="provider_tokens", column="access_token_encrypted", row_id=USER)
    rows = [
        User(id=USER, email="ann@example.org", password_hash=TOKEN, name="Ann", email_verified_at=now),
        RefreshToken(user_id=USER, family_id=USER, token_hash=USER.bytes, expires_at=later),
        Provider(id=USER, user_id=USER, provider_key="schwab", alias="Mine"),
        ProviderConnection(id=USER, provider_id=USER),
        ProviderToken(
            id=USER,
            connection_id=USER,
            access_token_encrypted=sealed,
            key_id=keyring.primary_id,
            expires_at=later,
        ),
    ]
    async with create_sessions(create_engine(settings))() as session:
        for row in rows:
            session.add(row)
            await session.flush()
        await session.commit()


async def read(settings: Settings, keyring: Keyring) -> None:
    """Open the provider's token."""
    async with create_sessions(create_engine(settings))() as session:
        row = await session.get_one(ProviderToken, USER)
    place = {"table": "provider_tokens", "column": "access_token_encrypted"}
    opened = keyring.decrypt(row.access_token_encrypted, row_id=USER, **place)
    if (opened, keyring.ids) != (TOKEN, (row.key_id,)):
        sys.exit(f"the row is under {row.key_id}, the keys are {keyring.ids}")


def main() -> None:
    """Do what the argument says."""
    settings = load(Settings)
    keyring = Keyring.parse(settings.encryption_key.get_secret_value())
    asyncio.run({"make": make, "read": read}[sys.argv[1]](settings, keyring))
    sys.stdout.write(issue(USER, settings.secret_key, USER) + "\n")


main()
