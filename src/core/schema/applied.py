"""Which revisions a database has, in its own words.

``alembic_version`` names the newest one alone. Code that does not have that revision's file, because newer
code has migrated the database, could not tell whether its own revisions are among those before. So whoever
migrates also writes all of them into the table's comment, in the same transaction, and dumps carry it along.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from src.core.config import ConfigurationError

# A start of the app does without the import of SQLAlchemy.
if TYPE_CHECKING:
    import asyncpg
    from sqlalchemy import Connection

QUERY = """
SELECT ARRAY(SELECT version_num FROM alembic_version) AS newest,
       pg_catalog.obj_description(CAST('alembic_version' AS regclass), 'pg_class') AS comment
"""
MARK = "revisions:"


@dataclass(frozen=True)
class Applied:
    """The newest revisions, as Alembic records them, and all that the database has."""

    newest: frozenset[str]
    revisions: frozenset[str]

    @classmethod
    def of(cls, newest: Iterable[str], comment: str | None) -> Applied:
        """Read a row of :data:`QUERY`. Without our comment only the newest ones are known."""
        at = frozenset(newest)
        listed = comment.removeprefix(MARK).split() if comment and comment.startswith(MARK) else []
        return cls(at, at.union(listed))

    def require(self, heads: frozenset[str]) -> None:
        """Raise ConfigurationError, with the next command, unless the database has the code's revisions."""
        if missing := sorted(heads - self.revisions):
            at = f"it is at {', '.join(sorted(self.newest))}" if self.newest else "it has none"
            raise ConfigurationError(
                f"the database lacks revision {', '.join(missing)}, which this code needs: {at}; run the "
                "migration first, with the owner's DATABASE_URL: python -m src.core.init_db"
            )


async def applied(connection: asyncpg.Connection) -> Applied:
    """Ask a database; an empty one has no revisions."""
    from asyncpg import UndefinedTableError

    try:
        return Applied.of(*await connection.fetchrow(QUERY))
    except UndefinedTableError:
        return Applied(frozenset(), frozenset())


def record(connection: Connection, revisions: Iterable[str]) -> None:
    """Write the comment, on the connection and in the transaction of whoever migrates."""
    listed = " ".join([MARK, *sorted(revisions)]).replace("'", "''")
    connection.exec_driver_sql(f"COMMENT ON TABLE alembic_version IS '{listed}'")
