"""Alembic's history of the schema; see :mod:`src.core.migrate` for how it is run."""
