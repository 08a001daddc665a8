from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from src.core.config import ConfigurationError
from src.core.schema import revisions
from src.core.schema.migrate import alembic_config
from src.core.schema.revisions import VERSIONS, heads


def write(directory: Path, **revisions: str) -> None:
    for revision, down in revisions.items():
        text = f"import nothing_that_exists\nrevision: str = '{revision}'\ndown_revision = {down}\n"
        (directory / f"{revision}.py").write_text(text, encoding="utf-8")


@pytest.fixture
def script() -> Iterator[ScriptDirectory]:
    with alembic_config() as config:
        yield ScriptDirectory.from_config(config)


def test_same_answer_as_alembic(script: ScriptDirectory) -> None:
    assert heads() == frozenset(script.get_heads())
    assert len(heads()) == 1, "two heads: somebody has to merge them"


def test_every_file_is_a_revision_of_the_history(script: ScriptDirectory) -> None:
    assert len(list(script.walk_revisions())) == len(list(VERSIONS.glob("*.py"))) > 0


def test_chain(tmp_path: Path) -> None:
    write(tmp_path, a="None", b="'a'", c="'b'")
    assert heads(tmp_path) == {"c"}


def test_branches_and_their_merge(tmp_path: Path) -> None:
    write(tmp_path, a="None", b="'a'", c="'a'")
    assert heads(tmp_path) == {"b", "c"}
    write(tmp_path, d="('b', 'c')")
    assert heads(tmp_path) == {"d"}


def test_what_is_no_revision_is_ignored_by_us_and_for_alembic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.py").write_text("revision = 'a'\ndown_revision = None\n", encoding="utf-8")
    (tmp_path / "b.py").write_text("revision = 'b'\ndown_revision = 'a'\n", encoding="utf-8")
    (tmp_path / "helpers.py").write_text("def money(): return 1\n", encoding="utf-8")
    (tmp_path / "__init__.py").write_text("", encoding="utf-8")
    (tmp_path / "b.py~").write_text("revision = 'c'\n", encoding="utf-8")
    (tmp_path / "._b.py").write_bytes(b"\0\x05\x16\x07")
    (tmp_path / ".#b.py").symlink_to("somebody@somewhere.1234")
    (tmp_path / "folder.py").mkdir()
    monkeypatch.setattr(revisions, "VERSIONS", tmp_path)
    assert heads() == {"b"}
    with alembic_config() as config:
        assert ScriptDirectory.from_config(config).get_heads() == ["b"]


@pytest.mark.parametrize("content", ["revision = (", "revision = made()", "\0"])
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "half.py").write_text(content, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"versions/half\.py cannot be read: [^\n]+$"):
        heads(tmp_path)
