"""Alembic's comparison of models and database, extended to what CHECK constraints say.

Alembic's own plugin compares their names only, because PostgreSQL stores an expression in another form than
it was written in, and in yet another once that form was dumped and restored. So the server stores both
expressions again until their forms are final, and these are compared.

Importing this module is enough: Alembic uses the last class that names the dialect.
"""

from typing import Any

from alembic.ddl.impl import ComparisonResult
from alembic.ddl.postgresql import PostgresqlImpl
from sqlalchemy import CheckConstraint, Column, Connection, MetaData, Table, text

PROBE = "check_constraint_probe"
STORED = text(
    "SELECT pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE contype = 'c' AND conname = :name AND conrelid = CAST(:table AS regclass)"
)


class CheckComparingImpl(PostgresqlImpl):
    """PostgreSQL as Alembic knows it, and the comparison that it leaves out."""

    __dialect__ = "postgresql"

    def compare_check_constraint(
        self, metadata_constraint: CheckConstraint, reflected_constraint: CheckConstraint
    ) -> ComparisonResult:
        """Compare two constraints of one name. An expression that the database rejects raises its error."""
        connection = self.connection
        if connection is None:
            return ComparisonResult.Skip("there is no connection to compare it on")
        declared, found = _declared(connection, metadata_constraint), _found(connection, metadata_constraint)
        if found == declared:
            return ComparisonResult.Equal()
        return ComparisonResult.Different(f"{found} to {declared}")

    def adjust_reflected_dialect_options(self, reflected_object: Any, kind: str) -> dict[str, Any]:
        """Return the options of a reflected object without NOT VALID, which SQLAlchemy does not accept."""
        if kind == "check_constraint":
            return {}
        return super().adjust_reflected_dialect_options(reflected_object, kind)


def _declared(connection: Connection, constraint: CheckConstraint) -> str:
    """The final form of a model's constraint, on a table with the model's columns."""
    columns = (Column(column.name, column.type) for column in constraint.table.columns)
    check = CheckConstraint(constraint.sqltext, name="written")
    probe = Table(PROBE, MetaData(), *columns, check, prefixes=["TEMPORARY"])
    probe.create(connection)
    try:
        return _again(connection, _stored(connection, "written", f"pg_temp.{PROBE}"))
    finally:
        probe.drop(connection)


def _found(connection: Connection, constraint: CheckConstraint) -> str:
    """The final form of the database's constraint of this name, on a table with the database's columns."""
    table = f"public.{connection.dialect.identifier_preparer.quote(constraint.table.name)}"
    connection.execute(text(f"CREATE TEMPORARY TABLE {PROBE} (LIKE {table})"))
    try:
        return _again(connection, _stored(connection, str(constraint.name), table))
    finally:
        connection.execute(text(f"DROP TABLE pg_temp.{PROBE}"))


def _again(connection: Connection, definition: str) -> str:
    escaped = definition.replace(":", r"\:")
    connection.execute(text(f"ALTER TABLE pg_temp.{PROBE} ADD CONSTRAINT again {escaped}"))
    return _stored(connection, "again", f"pg_temp.{PROBE}")


def _stored(connection: Connection, name: str, table: str) -> str:
    return str(connection.scalar(STORED, {"name": name, "table": table}))
