"""The migrations on disk, read without Alembic.

Importing Alembic takes a third of a second of one core, on every start of every app process. What /ready and
a start at an up-to-date database need of it is one string.
"""

import ast
from pathlib import Path

from src.core.config import ConfigurationError

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"
VERSIONS = MIGRATIONS / "versions"

Constants = dict[str, str | tuple[str, ...] | None]


def files(versions: Path | None = None) -> dict[Path, Constants]:
    """Return the revision files of a folder with what each says about its place in the history.

    A file that declares no `revision` is not one: a module that revisions import, or what an editor or a file
    manager has put there. Raise ConfigurationError for a file that cannot be read as Python.
    """
    found: dict[Path, Constants] = {}
    for path in sorted((versions or VERSIONS).glob("*.py")):
        if path.is_file() and not path.name.startswith((".", "__init__")):
            constants = _constants(path)
            if "revision" in constants:
                found[path] = constants
    return found


def known(versions: Path | None = None) -> frozenset[str]:
    """Return all revisions."""
    return frozenset(str(constants["revision"]) for constants in files(versions).values())


def heads(versions: Path | None = None) -> frozenset[str]:
    """Return the revisions that no other revision comes after: one, unless two branches each added one."""
    ancestors: set[str] = set()
    for constants in files(versions).values():
        down = constants.get("down_revision")
        ancestors.update([down] if isinstance(down, str) else down or ())
    return known(versions) - ancestors


def lineage(recorded: frozenset[str]) -> frozenset[str]:
    """Return the given revisions and all that come before them."""
    below = {str(constants["revision"]): constants.get("down_revision") for constants in files().values()}
    found: set[str] = set()
    waiting = list(recorded)
    while waiting:
        revision = waiting.pop()
        if revision not in found:
            found.add(revision)
            down = below.get(revision)
            waiting += [down] if isinstance(down, str) else down or ()
    return frozenset(found)


def require_one_head() -> None:
    """Raise ConfigurationError, with the next command, if there are several heads."""
    if len(found := sorted(heads())) > 1:
        raise ConfigurationError(
            f"the migrations have {len(found)} heads, {', '.join(found)}: branches added them independently; "
            "run `make migrate-merge`, which writes a revision that joins them, then start this again"
        )


def require_known(recorded: frozenset[str]) -> None:
    """Raise ConfigurationError, with the next command, if the database records a revision without a file."""
    if unknown := sorted(recorded - known()):
        raise ConfigurationError(
            f"the database is at revision {', '.join(unknown)}, which this code does not have: newer code "
            f"or another branch has migrated it. `git log --all --oneline -S {unknown[0]} -- src/migrations` "
            f"finds that code; switch to it, run `make migrate-down REVISION={','.join(sorted(heads()))}`, "
            "and switch back. To give the data up instead: `make clean LIMIT=dev`"
        )


def _constants(path: Path) -> Constants:
    found: Constants = {}
    try:
        for node in ast.parse(path.read_text(encoding="utf-8"), filename=str(path)).body:
            match node:
                case ast.Assign(targets=[ast.Name(id="revision" | "down_revision" as name)], value=value):
                    found[name] = ast.literal_eval(value)
                case ast.AnnAssign(
                    target=ast.Name(id="revision" | "down_revision" as name), value=ast.expr() as value
                ):
                    found[name] = ast.literal_eval(value)
    except (SyntaxError, ValueError) as error:
        raise ConfigurationError(f"src/migrations/versions/{path.name} cannot be read: {error}") from None
    return found
