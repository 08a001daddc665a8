"""What a user proves something with: refresh tokens, and links that were mailed. Only hashes are stored."""

import uuid
from datetime import datetime
from enum import StrEnum

from sqlalchemy import LargeBinary
from sqlmodel import Field

from src.models.base import TIMESTAMP, Identified, Timestamped, one_of, stored_as_text


class Purpose(StrEnum):
    VERIFY_EMAIL = "verify_email"
    RESET_PASSWORD = "reset_password"  # noqa: S105 - a purpose


class RefreshToken(Identified, Timestamped, table=True):
    """One link of a chain: a login begins a family, each use replaces the token by the next of its family.

    A used token that comes again was copied, and then its whole family is revoked (RFC 9700, 4.14.2).
    """

    __tablename__ = "refresh_tokens"

    user_id: uuid.UUID = Field(foreign_key="users.id", ondelete="CASCADE", index=True)
    family_id: uuid.UUID = Field(index=True)
    token_hash: bytes = Field(sa_type=LargeBinary, unique=True)
    expires_at: datetime = Field(sa_type=TIMESTAMP, index=True)
    used_at: datetime | None = Field(default=None, sa_type=TIMESTAMP)
    revoked_at: datetime | None = Field(default=None, sa_type=TIMESTAMP)


class MailedToken(Identified, Timestamped, table=True):
    """What the link of a mail carries; good for one use."""

    __tablename__ = "mailed_tokens"
    __table_args__ = (one_of("purpose", Purpose),)

    user_id: uuid.UUID = Field(foreign_key="users.id", ondelete="CASCADE", index=True)
    purpose: Purpose = Field(sa_type=stored_as_text(Purpose))
    token_hash: bytes = Field(sa_type=LargeBinary, unique=True)
    expires_at: datetime = Field(sa_type=TIMESTAMP, index=True)
    used_at: datetime | None = Field(default=None, sa_type=TIMESTAMP)
