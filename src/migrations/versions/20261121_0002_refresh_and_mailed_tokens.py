"""Refresh tokens, and the tokens of mailed links."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from src.migrations.grants import ORDINARY, grant

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def _time(name: str, nullable: bool = True) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _now(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)


def _table(name: str, *columns: sa.schema.SchemaItem) -> None:
    op.create_table(
        name,
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuid_generate_v4()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        _time("expires_at", nullable=False),
        _time("used_at"),
        _now("created_at"),
        _now("updated_at"),
        *columns,
        sa.PrimaryKeyConstraint("id", name=f"pk_{name}"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=f"fk_{name}_user_id_users", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("token_hash", name=f"uq_{name}_token_hash"),
    )
    for column in ("user_id", "expires_at"):
        op.create_index(f"ix_{name}_{column}", name, [column])


def upgrade() -> None:
    _table("refresh_tokens", sa.Column("family_id", sa.Uuid(), nullable=False), _time("revoked_at"))
    op.create_index("ix_refresh_tokens_family_id", "refresh_tokens", ["family_id"])
    _table(
        "mailed_tokens",
        sa.Column("purpose", sa.String(20), nullable=False),
        sa.CheckConstraint(
            "purpose IN ('verify_email', 'reset_password')", name=op.f("ck_mailed_tokens_purpose_known")
        ),
    )
    grant(ORDINARY, "refresh_tokens", "mailed_tokens")


def downgrade() -> None:
    op.drop_table("mailed_tokens")
    op.drop_table("refresh_tokens")
