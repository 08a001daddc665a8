"""The head of the migrations on disk, read without Alembic.

Importing Alembic takes a third of a second of one core, on every start of every app process. What /ready and
a start at an up-to-date database need of it is one string.
"""

import ast
from pathlib import Path

MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"
VERSIONS = MIGRATIONS / "versions"


def heads(versions: Path = VERSIONS) -> frozenset[str]:
    """The revisions that no other revision comes after: one, unless two branches were merged carelessly."""
    revisions: set[str] = set()
    ancestors: set[str] = set()
    for path in versions.glob("*.py"):
        constants = _constants(path)
        revisions.add(str(constants["revision"]))
        down = constants["down_revision"]
        ancestors.update([down] if isinstance(down, str) else down or ())
    return frozenset(revisions - ancestors)


def _constants(path: Path) -> dict[str, str | tuple[str, ...] | None]:
    found: dict[str, str | tuple[str, ...] | None] = {}
    for node in ast.parse(path.read_text(encoding="utf-8"), filename=str(path)).body:
        match node:
            case ast.Assign(targets=[ast.Name(id="revision" | "down_revision" as name)], value=value):
                found[name] = ast.literal_eval(value)
            case ast.AnnAssign(
                target=ast.Name(id="revision" | "down_revision" as name), value=ast.expr() as value
            ):
                found[name] = ast.literal_eval(value)
    return found
