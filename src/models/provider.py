"""A user's access to a provider: what it is called, how it stands, its tokens and what happened.

Each row has a relationship to its parent: it gives a flush its order. Parents have none to their children,
which the database deletes with them.
"""

import uuid
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, Index, LargeBinary, Text, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import INET, JSONB
from sqlmodel import Field, Relationship

from src.models.base import TIMESTAMP, Identified, Timestamped, one_of, stored_as_text
from src.models.user import User


class ConnectionStatus(StrEnum):
    PENDING = "pending"
    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"
    ERROR = "error"


CONNECTION_STATUS = stored_as_text(ConnectionStatus)


class AuditOutcome(StrEnum):
    SUCCESS = "success"
    FAILURE = "failure"


class Provider(Identified, Timestamped, table=True):
    """A provider as its user sees it; one user may have two accounts with the same one."""

    __tablename__ = "providers"
    __table_args__ = (
        UniqueConstraint("user_id", "alias"),
        CheckConstraint("alias <> ''", name="alias_not_empty"),
    )

    user_id: uuid.UUID = Field(foreign_key="users.id", ondelete="CASCADE")
    provider_key: str = Field(max_length=50, index=True)
    alias: str = Field(max_length=100)
    is_active: bool = Field(default=True, sa_column_kwargs={"server_default": text("true")})

    user: User = Relationship(sa_relationship_kwargs={"lazy": "raise"})


class ProviderConnection(Identified, Timestamped, table=True):
    __tablename__ = "provider_connections"
    __table_args__ = (
        UniqueConstraint("provider_id"),
        one_of("status", ConnectionStatus),
        CheckConstraint("error_count >= 0", name="error_count_not_negative"),
        # What the synchronisation asks again and again: which connections are due.
        Index(None, "next_sync_at", postgresql_where=text("status = 'active'")),
    )

    provider_id: uuid.UUID = Field(foreign_key="providers.id", ondelete="CASCADE")
    status: ConnectionStatus = Field(
        default=ConnectionStatus.PENDING,
        sa_type=CONNECTION_STATUS,
        sa_column_kwargs={"server_default": text("'pending'")},
    )
    connected_at: datetime | None = Field(default=None, sa_type=TIMESTAMP)
    last_sync_at: datetime | None = Field(default=None, sa_type=TIMESTAMP)
    next_sync_at: datetime | None = Field(default=None, sa_type=TIMESTAMP)
    last_error_at: datetime | None = Field(default=None, sa_type=TIMESTAMP)
    last_error: str | None = Field(default=None, sa_type=Text)
    error_count: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})

    provider: Provider = Relationship(sa_relationship_kwargs={"lazy": "raise"})


class ProviderToken(Identified, Timestamped, table=True):
    """Tokens as they are stored: encrypted, with the id of the key that opens them."""

    __tablename__ = "provider_tokens"
    __table_args__ = (
        UniqueConstraint("connection_id"),
        CheckConstraint("refresh_count >= 0", name="refresh_count_not_negative"),
    )

    connection_id: uuid.UUID = Field(foreign_key="provider_connections.id", ondelete="CASCADE")
    access_token_encrypted: bytes = Field(sa_type=LargeBinary)
    refresh_token_encrypted: bytes | None = Field(default=None, sa_type=LargeBinary)
    id_token_encrypted: bytes | None = Field(default=None, sa_type=LargeBinary)
    key_id: str = Field(max_length=64, index=True)
    token_type: str = Field(
        default="Bearer", max_length=40, sa_column_kwargs={"server_default": text("'Bearer'")}
    )
    scope: str | None = Field(default=None, sa_type=Text)
    expires_at: datetime = Field(sa_type=TIMESTAMP, index=True)
    refresh_expires_at: datetime | None = Field(default=None, sa_type=TIMESTAMP)
    last_refreshed_at: datetime | None = Field(default=None, sa_type=TIMESTAMP)
    refresh_count: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})

    connection: ProviderConnection = Relationship(sa_relationship_kwargs={"lazy": "raise"})


class ProviderAuditLog(Identified, table=True):
    """Append-only: the runtime role may insert and select. No foreign keys, so that an entry outlives
    whatever it names."""

    __tablename__ = "provider_audit_logs"
    __table_args__ = (
        one_of("outcome", AuditOutcome),
        Index(None, "user_id", "occurred_at"),
        Index(None, "provider_id", "occurred_at"),
    )

    # When it happened, which may be long after its transaction began; entries keep their order.
    occurred_at: datetime | None = Field(
        default=None,
        nullable=False,
        sa_type=TIMESTAMP,
        index=True,
        sa_column_kwargs={"server_default": func.now(), "default": func.clock_timestamp()},
    )
    # Nobody is known where, for instance, a forged state comes in.
    user_id: uuid.UUID | None = None
    provider_id: uuid.UUID | None = None
    connection_id: uuid.UUID | None = None
    provider_key: str | None = Field(default=None, max_length=50)
    action: str = Field(max_length=50)
    outcome: AuditOutcome = Field(sa_type=stored_as_text(AuditOutcome))
    details: dict[str, Any] = Field(
        default_factory=dict, sa_type=JSONB, sa_column_kwargs={"server_default": text("'{}'::jsonb")}
    )
    ip_address: str | None = Field(default=None, sa_type=INET)
    user_agent: str | None = Field(default=None, sa_type=Text)
