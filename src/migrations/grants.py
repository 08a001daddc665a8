"""What the runtime role may do, said by the migration that makes a table."""

from alembic import op

ORDINARY = ("SELECT", "INSERT", "UPDATE", "DELETE")
APPEND_ONLY = ("SELECT", "INSERT")
READ_ONLY = ("SELECT",)


def runtime_role() -> str:
    """The runtime role's name, quoted. It is a setting, hence no constant of a migration."""
    config = op.get_context().config
    role = config.attributes.get("runtime_role") if config else None
    if not role:
        raise RuntimeError("no runtime role was handed over; use: python -m src.core.schema.migrate")
    return op.get_bind().dialect.identifier_preparer.quote_identifier(str(role))


def grant(privileges: tuple[str, ...], *tables: str) -> None:
    """Grant exactly ``privileges`` on ``tables`` to the runtime role."""
    role = runtime_role()
    for table in tables:
        op.execute(f"REVOKE ALL ON TABLE {table} FROM {role}")
        op.execute(f"GRANT {', '.join(privileges)} ON TABLE {table} TO {role}")
