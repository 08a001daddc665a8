"""Dumps that must not replace a database, and harmless ones that must: the application's own schema.

What the playbook does is done here with the same parts: the dump is restored beside, the result is migrated
and compared with the models by `python -m src.core.init_db` and with a reference, and only then it replaces
the present database.
"""

import contextlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.dashtam.stack.plugins.module_utils.dump_files import sums_of

from tests import inside
from tests.by_path import ROOT
from tests.guard.bad_dumps import REASONS, REFUSED, flipped
from tests.guard.portfolio import AUDITED, CONTENT, FINGERPRINT, NAME, ROWS, Portfolio, archive, init_db
from tests.guard.scratch import Server
from tests.verify.rounds import FULL


@pytest.fixture(scope="module")
def portfolio(other_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portfolio]:
    database = other_server.prepare(NAME, owner="portfolio_owner", disposable=False)
    made = Portfolio(database, archive.Server(other_server.container.id), tmp_path_factory.mktemp("dumps"))
    made.psql("DROP TABLE precious")
    made.psql(f"DROP DATABASE {NAME}_gw0", "postgres")
    assert init_db(database, NAME) == ""
    made.psql(ROWS)
    made.psql(AUDITED)
    reference = archive.postgres_restore.reference(NAME)
    archive.postgres_restore.make_reference(made.engine, NAME)
    assert init_db(database, reference) == ""
    yield made
    for name in (NAME, reference):
        made.psql(f"DROP DATABASE {name} WITH (FORCE)", "postgres")


ACCEPTED: dict[str, Callable[[Portfolio], Path]] = {
    "as it is": lambda portfolio: portfolio.dump(),
    "uncompressed": lambda portfolio: portfolio.dump("-Z0"),
    "compressed most": lambda portfolio: portfolio.dump("-Z9"),
    "without owners": lambda portfolio: portfolio.dump("--no-owner"),
    "without comments": lambda portfolio: portfolio.dump("--no-comments"),
    "rows in other places": lambda portfolio: portfolio.altered("CLUSTER users USING pk_users"),
    "with a view": lambda portfolio: portfolio.altered("CREATE VIEW names AS SELECT name FROM users"),
}


# In every run each third, which are some of every kind: a restore takes seconds.
@pytest.mark.parametrize("kind", list(REFUSED)[:: 1 if FULL else 3])
def test_refused_and_nothing_is_touched(portfolio: Portfolio, kind: str) -> None:
    path = REFUSED[kind](portfolio)
    # Making such a dump has run the program, too.
    inside.said(portfolio.database.server.container, ["rm", "-f", "/tmp/run-by-the-dump"])
    before = portfolio.psql(FINGERPRINT)
    with pytest.raises(archive.Problem, match=r"\A[^\n]+\Z") as refused:
        portfolio.restore(path)
    assert re.search(REASONS.get(kind, ""), str(refused.value))
    assert portfolio.psql(FINGERPRINT) == before
    assert inside.run(portfolio.database.server.container, ["ls", "/tmp/run-by-the-dump"])[0] != 0


@pytest.mark.parametrize("kind", ACCEPTED)
def test_accepted(portfolio: Portfolio, kind: str) -> None:
    path = ACCEPTED[kind](portfolio)
    before = portfolio.psql(CONTENT)
    portfolio.psql("DELETE FROM users")
    portfolio.restore(path)
    assert portfolio.psql(CONTENT) == before
    assert portfolio.psql("SELECT count(*) FROM pg_roles WHERE rolname ~ 'restor'") == "0"
    owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
    assert portfolio.psql(owners) == portfolio.database.user


@pytest.mark.parametrize("entry", [0, 4])
def test_one_bit_in_the_list_of_contents_loses_nothing(portfolio: Portfolio, entry: int) -> None:
    """pg_restore may understand the entry all the same: refused, or nothing is different."""
    path = flipped(lambda data: [found.start() for found in re.finditer(b"TABLE DATA", data)][entry] + 6)(
        portfolio
    )
    before = portfolio.psql(CONTENT)
    with contextlib.suppress(archive.Problem):
        portfolio.restore(path)
    assert portfolio.psql(CONTENT) == before


def test_of_an_older_revision(portfolio: Portfolio) -> None:
    """It is brought to the code's revision before anything is replaced."""
    command = [sys.executable, "-m", "src.core.schema.migrate", "downgrade", "-1"]
    environ = {
        name: value for name, value in portfolio.database.environ.items() if name != "TEST_DATABASE_IDENTITY"
    }
    subprocess.run(command, cwd=ROOT, env=environ, check=True, capture_output=True, timeout=120)
    revision = portfolio.psql("SELECT version_num FROM alembic_version")
    path = portfolio.dump()
    portfolio.restore(path)
    assert portfolio.psql("SELECT version_num FROM alembic_version") > revision
    assert portfolio.psql("SELECT count(*) FROM users") == "500"


def test_without_a_checksum_only_if_asked_for(portfolio: Portfolio) -> None:
    path = portfolio.dump()
    before = portfolio.psql(FINGERPRINT)
    with pytest.raises(archive.Problem, match=r"no checksum beside it.*-e backup_unverified=true"):
        portfolio.restore(path, unverified=False)
    assert portfolio.psql(FINGERPRINT) == before


@pytest.mark.parametrize("unverified", [False, True])
def test_a_checksum_that_differs_is_always_refused(portfolio: Portfolio, unverified: bool) -> None:
    path = portfolio.dump()
    sums_of(path).write_text("0" * 64 + f"  {path.name}\n")
    try:
        with pytest.raises(archive.Problem, match=r"it is not what .* says"):
            portfolio.restore(path, unverified)
    finally:
        sums_of(path).unlink()
