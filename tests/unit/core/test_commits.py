"""Everything below an endpoint flushes; a commit that comes before the endpoint has returned says why."""

import ast
from pathlib import Path

import pytest

import src
from src.core import commits

SOURCE = Path(str(src.__file__)).parent
PERMITTED = {SOURCE / "api" / "dependencies.py"}
FILES = [
    path
    for folder in ("api", "accounts", "connections")
    for path in sorted((SOURCE / folder).glob("*.py"))
    if path not in PERMITTED
]


def commits_in(source: str) -> list[int]:
    """The lines in which something commits by its own method."""
    nodes = ast.walk(ast.parse(source))
    return sorted(node.lineno for node in nodes if isinstance(node, ast.Attribute) and node.attr == "commit")


def test_a_commit_is_found() -> None:
    assert commits_in("x = 1\nawait session.commit()\nsave = self.session.commit\n") == [2, 3]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_nobody_commits_without_a_reason(path: Path) -> None:
    assert commits_in(path.read_text(encoding="utf-8")) == []


def test_each_reason_is_in_use() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in FILES)
    reasons = [name for name in vars(commits) if name.startswith("commit_")]
    assert reasons
    assert [name for name in reasons if f"await {name}(" not in sources] == []
