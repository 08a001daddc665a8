"""Alembic's history of the schema; see :mod:`src.core.schema.migrate` for how it is run."""
