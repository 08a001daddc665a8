"""Alembic's entry: it runs on the connection it is given, in the transaction that is open there.

It never connects by itself: which database is changed is the caller's decision, taken once.
"""

from typing import Any, Literal

from alembic import context

from src.core.schema.migrate import COMPARISON


def _render_item(kind: str, item: Any, autogen_context: Any) -> str | Literal[False]:
    """Revisions outlive SQLModel's own types: they say what the database has."""
    if kind == "type" and type(item).__name__ == "AutoString":
        return f"sa.String({item.length or ''})"
    return False


connection = context.config.attributes.get("connection")
# Given only where models and database are compared; an upgrade does without importing the models.
metadata = context.config.attributes.get("metadata")
if connection is None:
    raise RuntimeError("no connection was handed over; use: python -m src.core.schema.migrate")

context.configure(connection=connection, target_metadata=metadata, render_item=_render_item, **COMPARISON)
with context.begin_transaction():
    context.run_migrations()
