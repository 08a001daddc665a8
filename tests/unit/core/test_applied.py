"""Which revisions a database has, read from what Alembic and we have written."""

from pathlib import Path

import pytest

from src.core.config import ConfigurationError
from src.core.schema import revisions
from src.core.schema.applied import Applied
from src.core.schema.revisions import lineage


@pytest.mark.parametrize(
    ("newest", "comment", "found"),
    [
        ([], None, set()),
        (["b"], None, {"b"}),
        (["b"], "a person's own words", {"b"}),
        (["b"], "revisions: a b", {"a", "b"}),
        (["d"], "revisions: a b c d", {"a", "b", "c", "d"}),
        ([], "revisions:", set()),
    ],
)
def test_all_that_a_database_says_it_has(newest: list[str], comment: str | None, found: set[str]) -> None:
    assert Applied.of(newest, comment) == Applied(frozenset(newest), frozenset(found))


@pytest.mark.parametrize(
    ("newest", "comment"), [(["b"], None), (["b"], "revisions: a b"), (["c"], "revisions: a b c")]
)
def test_at_the_codes_revision_or_ahead_of_it(newest: list[str], comment: str | None) -> None:
    Applied.of(newest, comment).require(frozenset({"b"}))


@pytest.mark.parametrize(
    ("newest", "comment", "at"),
    [
        ([], None, "it has none"),
        (["a"], "revisions: a", "it is at a"),
        # A branch that left before b, however new: b's tables are not there.
        (["x"], "revisions: a x", "it is at x"),
        (["x"], None, "it is at x"),
    ],
)
def test_behind_the_code_or_beside_it(newest: list[str], comment: str | None, at: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"lacks revision b, which this code needs: {at}; [^\n]+$"):
        Applied.of(newest, comment).require(frozenset({"b"}))


def test_lineage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for revision, down in {"a": None, "b": "a", "c": "a", "d": ("b", "c"), "e": "d"}.items():
        text = f"revision = {revision!r}\ndown_revision = {down!r}\n"
        (tmp_path / f"{revision}.py").write_text(text, encoding="utf-8")
    monkeypatch.setattr(revisions, "VERSIONS", tmp_path)
    assert lineage(frozenset()) == frozenset()
    assert lineage(frozenset({"c"})) == {"a", "c"}
    assert lineage(frozenset({"d"})) == {"a", "b", "c", "d"}
