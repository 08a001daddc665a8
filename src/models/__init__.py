"""Every table, so that importing this package completes the metadata that Alembic compares with."""

from sqlmodel import SQLModel

from src.models.account import MailedToken, RefreshToken
from src.models.provider import (
    Provider,
    ProviderAuditLog,
    ProviderConnection,
    ProviderToken,
)
from src.models.user import User

metadata = SQLModel.metadata

__all__ = [
    "MailedToken",
    "Provider",
    "ProviderAuditLog",
    "ProviderConnection",
    "ProviderToken",
    "RefreshToken",
    "User",
    "metadata",
]
