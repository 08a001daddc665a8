"""Tokens that are shown once and stored as their hash: refresh tokens, and those of mailed links."""

import hashlib
import secrets
from datetime import datetime
from typing import Annotated

from pydantic import Field, SecretStr
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from src.models import MailedToken, RefreshToken

BYTES = 32
PURGED_AT_ONCE = 100

SecretToken = Annotated[SecretStr, Field(min_length=1, max_length=200)]


def new() -> str:
    """43 characters of the URL-safe alphabet, 256 bits of them random."""
    return secrets.token_urlsafe(BYTES)


def hashed(token: str) -> bytes:
    """SHA-256, without salt or stretching: nobody guesses 256 random bits, and the hash is looked up."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()


async def purge(session: AsyncSession, table: type[MailedToken | RefreshToken], now: datetime) -> None:
    """Delete tokens that have ended, some at a time. Called wherever one is added, that keeps up with any
    number and needs no timer. Rows that somebody else holds are left to the next call."""
    ended = select(col(table.id)).where(col(table.expires_at) < now).limit(PURGED_AT_ONCE)
    unheld = delete(table).where(col(table.id).in_(ended.with_for_update(skip_locked=True)))
    await session.execute(unheld, execution_options={"synchronize_session": False})
