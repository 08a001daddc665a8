from pathlib import Path

from alembic.script import ScriptDirectory

from src.core.migrate import alembic_config
from src.core.revisions import VERSIONS, heads


def write(directory: Path, **revisions: str) -> None:
    for revision, down in revisions.items():
        text = f"import nothing_that_exists\nrevision: str = '{revision}'\ndown_revision = {down}\n"
        (directory / f"{revision}.py").write_text(text, encoding="utf-8")


def test_same_answer_as_alembic() -> None:
    script = ScriptDirectory.from_config(alembic_config())
    assert heads() == frozenset(script.get_heads())
    assert len(heads()) == 1, "two heads: somebody has to merge them"


def test_every_file_is_a_revision_of_the_history() -> None:
    script = ScriptDirectory.from_config(alembic_config())
    assert len(list(script.walk_revisions())) == len(list(VERSIONS.glob("*.py"))) > 0


def test_chain(tmp_path: Path) -> None:
    write(tmp_path, a="None", b="'a'", c="'b'")
    assert heads(tmp_path) == {"c"}


def test_branches_and_their_merge(tmp_path: Path) -> None:
    write(tmp_path, a="None", b="'a'", c="'a'")
    assert heads(tmp_path) == {"b", "c"}
    write(tmp_path, d="('b', 'c')")
    assert heads(tmp_path) == {"d"}
