"""Users, their providers, connections, tokens, and the audit log."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from src.migrations.grants import APPEND_ONLY, ORDINARY, READ_ONLY, grant, runtime_role

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _id() -> sa.Column[Any]:
    return sa.Column("id", sa.Uuid(), server_default=sa.text("uuid_generate_v4()"), nullable=False)


def _time(name: str, nullable: bool = True) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _now(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)


def _count(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Integer(), server_default=sa.text("0"), nullable=False)


def _true(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Boolean(), server_default=sa.text("true"), nullable=False)


def upgrade() -> None:
    op.execute('CREATE EXTENSION IF NOT EXISTS "uuid-ossp"')
    # A schema that the test initialisation recreated lacks PUBLIC's privileges on the original one.
    op.execute(f"GRANT USAGE ON SCHEMA public TO {runtime_role()}")

    op.create_table(
        "users",
        _id(),
        sa.Column("email", sa.String(320), nullable=False),
        sa.Column("password_hash", sa.String(255), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        _true("is_active"),
        _time("email_verified_at"),
        _count("failed_login_attempts"),
        _time("locked_until"),
        _time("last_login_at"),
        _now("created_at"),
        _now("updated_at"),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("email", name="uq_users_email"),
        sa.CheckConstraint("email = lower(email)", name=op.f("ck_users_email_lower_case")),
        sa.CheckConstraint(
            "failed_login_attempts >= 0", name=op.f("ck_users_failed_login_attempts_not_negative")
        ),
    )
    op.create_table(
        "providers",
        _id(),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("provider_key", sa.String(50), nullable=False),
        sa.Column("alias", sa.String(100), nullable=False),
        _true("is_active"),
        _now("created_at"),
        _now("updated_at"),
        sa.PrimaryKeyConstraint("id", name="pk_providers"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_providers_user_id_users", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("user_id", "alias", name="uq_providers_user_id_alias"),
        sa.CheckConstraint("alias <> ''", name=op.f("ck_providers_alias_not_empty")),
    )
    op.create_index("ix_providers_provider_key", "providers", ["provider_key"])
    op.create_table(
        "provider_connections",
        _id(),
        sa.Column("provider_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.String(20), server_default=sa.text("'pending'"), nullable=False),
        _time("connected_at"),
        _time("last_sync_at"),
        _time("next_sync_at"),
        _time("last_error_at"),
        sa.Column("last_error", sa.Text()),
        _count("error_count"),
        _now("created_at"),
        _now("updated_at"),
        sa.PrimaryKeyConstraint("id", name="pk_provider_connections"),
        sa.ForeignKeyConstraint(
            ["provider_id"],
            ["providers.id"],
            name="fk_provider_connections_provider_id_providers",
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint("provider_id", name="uq_provider_connections_provider_id"),
        sa.CheckConstraint(
            "status IN ('pending', 'active', 'expired', 'revoked', 'error')",
            name=op.f("ck_provider_connections_status_known"),
        ),
        sa.CheckConstraint("error_count >= 0", name=op.f("ck_provider_connections_error_count_not_negative")),
    )
    op.create_index(
        "ix_provider_connections_next_sync_at",
        "provider_connections",
        ["next_sync_at"],
        postgresql_where=sa.text("status = 'active'"),
    )
    op.create_table(
        "provider_tokens",
        _id(),
        sa.Column("connection_id", sa.Uuid(), nullable=False),
        sa.Column("access_token_encrypted", sa.LargeBinary(), nullable=False),
        sa.Column("refresh_token_encrypted", sa.LargeBinary()),
        sa.Column("id_token_encrypted", sa.LargeBinary()),
        sa.Column("key_id", sa.String(64), nullable=False),
        sa.Column("token_type", sa.String(40), server_default=sa.text("'Bearer'"), nullable=False),
        sa.Column("scope", sa.Text()),
        _time("expires_at", nullable=False),
        _time("refresh_expires_at"),
        _time("last_refreshed_at"),
        _count("refresh_count"),
        _now("created_at"),
        _now("updated_at"),
        sa.PrimaryKeyConstraint("id", name="pk_provider_tokens"),
        sa.ForeignKeyConstraint(
            ["connection_id"],
            ["provider_connections.id"],
            name="fk_provider_tokens_connection_id_provider_connections",
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint("connection_id", name="uq_provider_tokens_connection_id"),
        sa.CheckConstraint("refresh_count >= 0", name=op.f("ck_provider_tokens_refresh_count_not_negative")),
    )
    op.create_index("ix_provider_tokens_expires_at", "provider_tokens", ["expires_at"])
    op.create_index("ix_provider_tokens_key_id", "provider_tokens", ["key_id"])
    op.create_table(
        "provider_audit_logs",
        _id(),
        _now("occurred_at"),
        sa.Column("user_id", sa.Uuid()),
        sa.Column("provider_id", sa.Uuid()),
        sa.Column("connection_id", sa.Uuid()),
        sa.Column("provider_key", sa.String(50)),
        sa.Column("action", sa.String(50), nullable=False),
        sa.Column("outcome", sa.String(20), nullable=False),
        sa.Column("details", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("ip_address", postgresql.INET()),
        sa.Column("user_agent", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_provider_audit_logs"),
        sa.CheckConstraint(
            "outcome IN ('success', 'failure')", name=op.f("ck_provider_audit_logs_outcome_known")
        ),
    )
    op.create_index("ix_provider_audit_logs_occurred_at", "provider_audit_logs", ["occurred_at"])
    op.create_index(
        "ix_provider_audit_logs_user_id_occurred_at", "provider_audit_logs", ["user_id", "occurred_at"]
    )
    op.create_index(
        "ix_provider_audit_logs_provider_id_occurred_at",
        "provider_audit_logs",
        ["provider_id", "occurred_at"],
    )

    grant(ORDINARY, "users", "providers", "provider_connections", "provider_tokens")
    grant(APPEND_ONLY, "provider_audit_logs")
    # /ready compares it with the code's head.
    grant(READ_ONLY, "alembic_version")


def downgrade() -> None:
    # The extension stays: the administrator may have made it, and then the owner could not drop it.
    for table in ("provider_audit_logs", "provider_tokens", "provider_connections", "providers", "users"):
        op.drop_table(table)
