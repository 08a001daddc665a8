"""Rules that every table follows."""

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Table
from sqlalchemy.orm import RelationshipDirection, class_mapper
from sqlmodel import SQLModel

import src.models
from src.models import ProviderAuditLog, metadata

TABLES = list(metadata.tables.values())
MODELS = [model for name in src.models.__all__ if isinstance(model := getattr(src.models, name), type)]


def test_the_five_tables() -> None:
    assert set(metadata.tables) >= {
        "users",
        "providers",
        "provider_connections",
        "provider_tokens",
        "provider_audit_logs",
    }


@pytest.mark.parametrize("table", TABLES, ids=str)
def test_key_is_a_uuid_from_either_side(table: Table) -> None:
    (column,) = table.primary_key.columns
    assert isinstance(column.type, sa.Uuid)
    assert column.default is not None
    assert column.server_default is not None


@pytest.mark.parametrize("table", TABLES, ids=str)
def test_times_have_a_zone(table: Table) -> None:
    times = [column.type for column in table.columns if isinstance(column.type, sa.DateTime)]
    assert times
    assert all(time.timezone for time in times)


@pytest.mark.parametrize("table", TABLES, ids=str)
def test_no_enum_type_to_survive_a_downgrade(table: Table) -> None:
    types = [column.type for column in table.columns]
    assert not [each for each in types if isinstance(each, sa.Enum) and each.native_enum]


ENUMS = [column for table in TABLES for column in table.columns if isinstance(column.type, sa.Enum)]


@pytest.mark.parametrize("column", ENUMS, ids=str)
def test_the_values_of_an_enum_are_checked(column: sa.Column[Any]) -> None:
    checks = {str(each.sqltext) for each in column.table.constraints if isinstance(each, sa.CheckConstraint)}
    assert isinstance(column.type, sa.Enum)
    assert column.type.enum_class is not None
    assert f"{column.name} IN ({', '.join(repr(each.value) for each in column.type.enum_class)})" in checks


def test_there_are_enums() -> None:
    assert {column.name for column in ENUMS} == {"purpose", "status", "outcome"}


@pytest.mark.parametrize("table", TABLES, ids=str)
def test_every_constraint_and_index_is_named_by_the_convention(table: Table) -> None:
    prefixes = {"pk", "fk", "uq", "ck", "ix"}
    named: list[sa.Constraint | sa.Index] = [*table.constraints, *table.indexes]
    for item in named:
        assert item.name is not None
        kind, _, rest = str(item.name).partition("_")
        assert kind in prefixes
        assert rest.startswith(table.name)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_only_children_have_relationships(model: type[SQLModel]) -> None:
    """To their parents, which are then inserted first. Others would make circles between modules."""
    assert {each.direction for each in class_mapper(model).relationships} <= {RelationshipDirection.MANYTOONE}


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_no_relationship_loads_by_itself(model: type[SQLModel]) -> None:
    for relationship in class_mapper(model).relationships:
        assert relationship.lazy == "raise", relationship


def test_audit_log_depends_on_nothing() -> None:
    assert not sa.inspect(ProviderAuditLog).local_table.foreign_keys
