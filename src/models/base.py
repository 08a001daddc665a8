"""What all tables share: names of constraints that migrations can rely on, keys and times."""

import uuid
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, DateTime, Enum, func, text
from sqlmodel import Field, SQLModel

SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

# An instance is what SQLAlchemy takes; SQLModel's annotation knows only classes, hence the Any.
TIMESTAMP: Any = DateTime(timezone=True)


def stored_as_text(values: type[StrEnum], length: int = 20) -> Any:
    """The type of a column that holds a member of ``values``: VARCHAR, with the check of :func:`one_of`.

    A type of PostgreSQL's own would survive a downgrade.
    """
    return Enum(
        values,
        native_enum=False,
        create_constraint=False,
        length=length,
        # Their values, where SQLAlchemy would store their names.
        values_callable=lambda members: [member.value for member in members],
    )


def one_of(column: str, values: type[StrEnum]) -> CheckConstraint:
    """A column has one of these values, whoever writes it."""
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=f"{column}_known")


class Identified(SQLModel):
    """The key is made here, so that an object has it before it is flushed; the database makes it for SQL."""

    id: uuid.UUID = Field(
        default_factory=uuid.uuid4,
        primary_key=True,
        sa_column_kwargs={"server_default": text("uuid_generate_v4()")},
    )


class Timestamped(SQLModel):
    created_at: datetime | None = Field(
        default=None, nullable=False, sa_type=TIMESTAMP, sa_column_kwargs={"server_default": func.now()}
    )
    updated_at: datetime | None = Field(
        default=None,
        nullable=False,
        sa_type=TIMESTAMP,
        sa_column_kwargs={"server_default": func.now(), "onupdate": func.now()},
    )
