"""Who may log in."""

from datetime import datetime

from sqlalchemy import CheckConstraint, text
from sqlmodel import Field

from src.models.base import TIMESTAMP, Identified, Timestamped


class User(Identified, Timestamped, table=True):
    __tablename__ = "users"
    __table_args__ = (
        # Unique means unique whatever the spelling, and an index on the column serves every look-up.
        CheckConstraint("email = lower(email)", name="email_lower_case"),
        CheckConstraint("failed_login_attempts >= 0", name="failed_login_attempts_not_negative"),
    )

    email: str = Field(max_length=320, unique=True)
    password_hash: str = Field(max_length=255)
    name: str = Field(max_length=200)
    is_active: bool = Field(default=True, sa_column_kwargs={"server_default": text("true")})
    email_verified_at: datetime | None = Field(default=None, sa_type=TIMESTAMP)
    failed_login_attempts: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    locked_until: datetime | None = Field(default=None, sa_type=TIMESTAMP)
    last_login_at: datetime | None = Field(default=None, sa_type=TIMESTAMP)

    @property
    def email_verified(self) -> bool:
        return self.email_verified_at is not None
