"""How strictly the guard of the test database is tested: `python -m tests.mutants`, with an engine.

Each mutant is the guard with one fault, in a copy of the checkout; the tests of its layer must notice it. The
last line is `mutants killed: N of N`. If one survives, the exit code is 1. ``MUTANTS`` is the list: a fault
that turns up later belongs there, too.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.by_path import ROOT

POLICY = "src/core/test_databases/policy.py"
CONNECTED = "src/core/test_databases/clones.py"
REBUILD = "src/core/test_databases/rebuild.py"
UNIT = ("tests/unit/core/test_test_database_policy.py",)
# On scratch servers, as only PostgreSQL knows what is connected.
GUARD = ("tests/guard/test_refusals.py", "-k", "pooler or user or superuser or mark or server or database")
COPIED = ("src", "tests", "plugins", "playbooks", "roles", "pyproject.toml")


class Mutant(NamedTuple):
    """A fault: in which file what becomes what, and the tests that must notice it."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...] = UNIT


MUTANTS = (
    Mutant("layer 1 is gone", POLICY, '_exactly(environ, 1, "ENVIRONMENT", "testing")', "pass"),
    Mutant("layer 2 is gone", POLICY, '_exactly(environ, 2, "TESTING", "true")', "pass"),
    Mutant(
        "case and spaces are forgiven", POLICY, "if value != wanted:", "if value.strip().lower() != wanted:"
    ),
    Mutant("values are compared the wrong way", POLICY, "if value != wanted:", "if value == wanted:"),
    Mutant(
        "a spelling with spaces is no second one",
        POLICY,
        "other.strip().casefold() == name.casefold()",
        "other.casefold() == name.casefold()",
    ),
    Mutant(
        "libpq's variables are a list",
        POLICY,
        'name.upper().startswith("PG")',
        'name in {"PGHOST", "PGDATABASE"}',
    ),
    Mutant(
        "libpq's variables have one case", POLICY, 'name.upper().startswith("PG")', 'name.startswith("PG")'
    ),
    Mutant("a URL need not render back", POLICY, '}") != url:', '}") == "":'),
    Mutant(
        "control characters pass", POLICY, "if not (user + password + database).isprintable():", "if False:"
    ),
    Mutant(
        "any driver of PostgreSQL",
        POLICY,
        'parts["driver"] != DRIVER',
        'not parts["driver"].startswith("postgres")',
    ),
    Mutant("a query string passes", POLICY, 'if parts["query"] is not None:', "if False:"),
    Mutant("an empty query string passes", POLICY, 'if parts["query"] is not None:', 'if parts["query"]:'),
    Mutant("several hosts", POLICY, "[A-Za-z0-9][A-Za-z0-9._-]*|", "[A-Za-z0-9][A-Za-z0-9._,-]*|"),
    Mutant("test is a part of a word", POLICY, 'not in re.split("[_-]", database)', "not in database"),
    Mutant(
        "the user may say test",
        POLICY,
        're.split("[_-]", database)',
        're.split("[_-]", user + "_" + database)',
    ),
    Mutant("an identity may be empty", POLICY, '"[1-9][0-9]{0,19}:[1-9][0-9]{0,9}"', '"[0-9]*:[0-9]*"'),
    Mutant("any database", CONNECTED, 'if row["database"] != target.database:', "if False:", GUARD),
    Mutant(
        "only the login counts", CONNECTED, 'in (row["login"], row["user"]):', 'in (row["login"],):', GUARD
    ),
    Mutant("superusers pass", CONNECTED, 'if row["superuser"]:', "if False:", GUARD),
    Mutant("no mark is needed", REBUILD, "if not marked:", "if False:", GUARD),
    Mutant("a role's setting is a mark", REBUILD, " AND setrole = 0", "", GUARD),
    Mutant(
        "any server",
        REBUILD,
        "if found != identity:",
        'if found.split(":")[1] != identity.split(":")[1]:',
        GUARD,
    ),
    Mutant("any identity", REBUILD, "if found != identity:", "if False:", GUARD),
)


def run(folder: Path, tests: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """The tests of the copy, up to the first that fails."""
    options = ("-c", "tests/pytest.ini", "--rootdir=.", "-q", "-x")
    command = [sys.executable, "-B", "-m", "pytest", *options, *tests]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def main() -> int:
    """Print a line for each mutant that survives, and the result; an exit code."""
    killed = 0
    with tempfile.TemporaryDirectory(prefix="dashtam-mutants-") as name:
        folder = Path(name)
        for path in COPIED:
            copy = shutil.copytree if (ROOT / path).is_dir() else shutil.copy2
            copy(ROOT / path, folder / path, **({"symlinks": True} if copy is shutil.copytree else {}))
        for tests in dict.fromkeys(mutant.tests for mutant in MUTANTS):
            if (sound := run(folder, tests)).returncode:
                sys.stdout.write(
                    f"{sound.stdout[-2000:]}{sound.stderr[-2000:]}\n{tests[0]} fails without a fault\n"
                )
                return 1
        for mutant in MUTANTS:
            source = (ROOT / mutant.file).read_text(encoding="utf-8")
            if source.count(mutant.old) != 1:
                sys.stdout.write(
                    f"{mutant.name}: {mutant.file} has no single {mutant.old!r}; correct the list\n"
                )
                continue
            (folder / mutant.file).write_text(source.replace(mutant.old, mutant.new), encoding="utf-8")
            code = run(folder, mutant.tests).returncode
            (folder / mutant.file).write_text(source, encoding="utf-8")
            # Pytest's 1: tests have failed. Another code, and they did not run.
            killed += code == 1
            if code != 1:
                sys.stdout.write(f"survived (pytest's exit code is {code}): {mutant.name}\n")
    sys.stdout.write(f"mutants killed: {killed} of {len(MUTANTS)}\n")
    return 0 if killed == len(MUTANTS) else 1


if __name__ == "__main__":
    sys.exit(main())
