"""What another server has written, as SQL or by `pg_dump -Fc`, and what must not come in with it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import inside
from tests.guard.portfolio import AUDITED, CONTENT, FINGERPRINT, NAME, ROWS, Portfolio, archive, init_db
from tests.guard.scratch import Server

RAN = "/tmp/run-by-the-dump"
PRIVILEGES = """
    SELECT string_agg(grantee || ' ' || privilege_type || ' ' || table_name, ',' ORDER BY 1)
    FROM (SELECT grantee, privilege_type, table_name FROM information_schema.role_table_grants
          WHERE table_schema = 'public' ORDER BY 1, 2, 3) AS granted
"""


@pytest.fixture(scope="module")
def portfolio(other_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portfolio]:
    database = other_server.prepare(NAME, owner="portfolio_owner", disposable=False)
    made = Portfolio(database, archive.Server(other_server.container.id), tmp_path_factory.mktemp("imports"))
    made.psql("DROP TABLE precious")
    made.psql(f"DROP DATABASE {NAME}_gw0", "postgres")
    assert init_db(database, NAME) == ""
    made.psql(ROWS)
    made.psql(AUDITED)
    yield made
    made.psql(f"DROP DATABASE {NAME} WITH (FORCE)", "postgres")


def imported(portfolio: Portfolio, path: Path) -> None:
    """As the playbook does it. Raises Problem."""
    try:
        with path.open("rb", buffering=0) as file:
            archive.restore_beside(portfolio.engine, NAME, path, file, foreign=True)
        if said := init_db(portfolio.database, f"{NAME}_restoring"):
            raise archive.Problem(said)
        archive.postgres_restore.replace(portfolio.engine, NAME)
    finally:
        archive.postgres_restore.discard(portfolio.engine, NAME)


def sql(*options: str, **changes: str) -> Callable[[Portfolio], Path]:
    """By pg_dump; each text of the changes is put in the place of its name."""

    def make(portfolio: Portfolio) -> Path:
        path = portfolio.dump("-Fp", *options)
        text = path.read_text().replace("portfolio_owner", "stranger")
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new, 1)
        path.write_text(text)
        return path

    return make


def with_a_line(line: str) -> Callable[[Portfolio], Path]:
    def make(portfolio: Portfolio) -> Path:
        path = sql()(portfolio)
        path.write_text(path.read_text() + line + "\n")
        return path

    return make


def of_bytes(content: Callable[[bytes], bytes]) -> Callable[[Portfolio], Path]:
    def make(portfolio: Portfolio) -> Path:
        path = sql()(portfolio)
        path.write_bytes(content(path.read_bytes()))
        return path

    return make


def of_another_name(portfolio: Portfolio) -> Path:
    path = portfolio.folder / "another.dump"
    portfolio.psql(f"CREATE DATABASE elsewhere TEMPLATE {NAME}", "postgres")
    try:
        path.write_bytes(portfolio.dump(source="elsewhere").read_bytes())
    finally:
        portfolio.psql("DROP DATABASE elsewhere", "postgres")
    return path


ACCEPTED: dict[str, Callable[[Portfolio], Path]] = {
    "SQL of another owner": sql(),
    "SQL without owners and privileges": sql("--no-owner", "--no-privileges"),
    "SQL of INSERT statements": sql("--inserts"),
    "a dump of a database with another name": of_another_name,
    "our own dump": lambda portfolio: portfolio.dump(),
}
REFUSED: dict[str, tuple[Callable[[Portfolio], Path], str]] = {
    "a program of psql's": (with_a_line(rf"\! touch {RAN}"), "backslash commands are restricted"),
    "a program of the server's": (
        with_a_line(f"COPY (SELECT 1) TO PROGRAM 'touch {RAN}';"),
        "permission denied to COPY",
    ),
    "another role": (with_a_line("ALTER ROLE postgres PASSWORD 'x';"), "permission denied to alter role"),
    "another database": (with_a_line(r"\connect postgres"), "backslash commands are restricted"),
    "an error in SQL": (with_a_line("SELEKT 1;"), "syntax error"),
    "cut off": (of_bytes(lambda text: text[: text.index(b"@x.org") + 3]), "in the middle of the rows of"),
    "no SQL": (of_bytes(lambda text: b"\0\1\2" * 100), "neither SQL nor a dump"),
    "empty": (of_bytes(lambda text: b""), "neither SQL nor a dump"),
    "a table less": (sql("--exclude-table=provider_audit_logs"), "provider_audit_logs"),
    "another project": (of_bytes(lambda text: b"CREATE TABLE articles (id int);\n"), "articles"),
}


@pytest.mark.parametrize("kind", ACCEPTED)
def test_accepted_and_ours_may_use_it(portfolio: Portfolio, kind: str) -> None:
    path = ACCEPTED[kind](portfolio)
    before = portfolio.psql(CONTENT), portfolio.psql(PRIVILEGES)
    portfolio.psql("DELETE FROM users")
    imported(portfolio, path)
    assert (portfolio.psql(CONTENT), portfolio.psql(PRIVILEGES)) == before
    assert portfolio.psql("SELECT count(*) FROM pg_roles WHERE rolname ~ 'restor'") == "0"


@pytest.mark.parametrize("kind", REFUSED)
def test_refused_and_nothing_is_touched(portfolio: Portfolio, kind: str) -> None:
    make, reason = REFUSED[kind]
    path = make(portfolio)
    before = portfolio.psql(FINGERPRINT)
    with pytest.raises(archive.Problem, match=reason):
        imported(portfolio, path)
    assert portfolio.psql(FINGERPRINT) == before
    assert inside.run(portfolio.database.server.container, ["ls", RAN])[0] != 0
