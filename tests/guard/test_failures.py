"""What fails leaves the old schema and says why in one line; what is killed leaves the old or the new one."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable
from urllib.parse import quote

import pytest

from src.core.schema.migrate import LOCK
from src.core.test_databases import clones
from src.core.test_databases.policy import TestDatabaseError
from tests.guard.scratch import MARK, Database, Init, Pooler, Run

APPLICATION = "somebody"


def failed(run: Run, *said: str) -> None:
    assert run.code == 1
    line = run.err.splitlines()[-1]
    assert line.startswith("init_test_db: ")
    assert "Traceback" not in run.err
    for part in said:
        assert part in line
    assert "successfully" not in run.err


def settle(database: Database) -> None:
    """Wait until the server has noticed that the killed session's client is gone."""
    deadline = time.monotonic() + 15
    asked = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name IN ('init_test_db', 'test_databases')"
    )
    while database.server.sql(asked) != "0":
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"password": "wr0ng-pa55word"}, "password authentication failed"),
        ({"database": "absent_test"}, 'database "absent_test" does not exist'),
        ({"hosts": "127.0.0.1:1"}, "cannot connect to dashtam_test at 127.0.0.1:1 as scratch_owner"),
        ({"hosts": "nowhere.invalid"}, "nowhere.invalid"),
    ],
)
def test_no_connection(init: Init, database: Database, parts: dict[str, str], said: str) -> None:
    run = init(database.environ | {"DATABASE_URL": database.url(**parts)})
    failed(run, said)
    assert run.err.count("\n") == 1
    for password in ("wr0ng-pa55word", database.password, quote(database.password, safe="")):
        assert password not in run.err


def test_no_runtime_role(init: Init, database: Database) -> None:
    before = database.fingerprint()
    environ = database.environ
    del environ["APP_DATABASE_URL"]
    failed(init(environ), "APP_DATABASE_URL")
    assert database.fingerprint() == before


def test_a_schema_that_the_owner_may_not_drop(init: Init, scratch: Database) -> None:
    scratch.sql("CREATE SCHEMA zz_foreign")
    before = scratch.schema()
    failed(init(scratch.environ), "must be owner of schema zz_foreign")
    assert scratch.schema() == before


@pytest.mark.parametrize("user", ["scratch_owner", "scratch_app"])
def test_a_session_that_holds_a_lock(init: Init, loop: asyncio.Runner, scratch: Database, user: str) -> None:
    scratch.sql("GRANT SELECT ON precious TO scratch_app")
    before = scratch.schema()
    connection = loop.run(scratch.connect(user))
    loop.run(connection.execute("BEGIN; SELECT * FROM precious"))
    try:
        run = init(scratch.environ)
    finally:
        loop.run(connection.close())
    failed(run, f"{user} ({APPLICATION}, pid ")
    assert 5 < run.seconds < 30
    assert scratch.schema() == before


def test_a_session_in_a_worker_database(init: Init, loop: asyncio.Runner, scratch: Database) -> None:
    """Somebody is testing: their databases are not dropped under them, nor is anything else."""
    before = scratch.schema()
    connection = loop.run(scratch.connect(database=f"{scratch.name}_gw0"))
    try:
        run = init(scratch.environ)
    finally:
        loop.run(connection.close())
    failed(run, "is being accessed by other users")
    assert run.seconds < 30
    assert scratch.schema() == before


def test_two_at_once(init: Init, scratch: Database) -> None:
    environ = scratch.environ
    both = [init.start(environ), init.start(environ)]
    errors = [process.communicate(timeout=60)[1] for process in both]
    codes = [process.returncode for process in both]
    assert 0 in codes
    for code, error in zip(codes, errors, strict=True):
        assert code == 0 or "waited in vain" in error.splitlines()[-1], error
    assert scratch.schema() == "new"


def test_one_that_does_not_end_is_not_waited_for(init: Init, scratch: Database) -> None:
    """The first is stopped inside its transaction; the second says whom it waited for."""
    first = init.start(scratch.environ)
    try:
        assert first.stderr is not None
        while "Dropping schema public" not in first.stderr.readline():
            pass
        first.send_signal(signal.SIGSTOP)
        second = init(scratch.environ)
        failed(second, "waited in vain", "init_test_db")
        assert second.seconds < 30
    finally:
        first.kill()
        first.communicate()


WAITS_FOR_THE_LOCK = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
WAITS_FOR_THE_WORKER = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DROP DATABASE %'"


@pytest.mark.parametrize("waits", [WAITS_FOR_THE_LOCK, WAITS_FOR_THE_WORKER], ids=["lock", "worker"])
def test_a_mark_that_is_taken_away_during_a_wait(
    init: Init, loop: asyncio.Runner, scratch: Database, waits: str
) -> None:
    """The layers hold when it connects and no longer when it may go on."""
    if waits is WAITS_FOR_THE_LOCK:
        holder = loop.run(scratch.connect())
        loop.run(holder.execute(f"SELECT pg_advisory_lock({LOCK})"))
    else:
        holder = loop.run(scratch.connect(database=f"{scratch.name}_gw0"))
    process = init.start(scratch.environ)
    while scratch.server.sql(f"{waits} AND pid <> pg_backend_pid()") == "0":
        assert process.poll() is None
    scratch.sql(f'ALTER DATABASE "{scratch.name}" RESET {MARK}')
    before = scratch.fingerprint()
    loop.run(holder.close())
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 3
    assert "refused by layer 5" in error
    assert scratch.schema() == "public.precious"
    if waits is WAITS_FOR_THE_LOCK:
        assert scratch.fingerprint() == before


def test_killed_while_it_waits_in_the_middle(init: Init, loop: asyncio.Runner, scratch: Database) -> None:
    """One schema is dropped already in its transaction, the other one is locked."""
    scratch.sql(f"SET ROLE {scratch.user}; CREATE SCHEMA zz_last; CREATE TABLE zz_last.t (id int)")
    before = scratch.schema()
    connection = loop.run(scratch.connect())
    loop.run(connection.execute("BEGIN; SELECT * FROM zz_last.t"))
    process = init.start(scratch.environ)
    assert process.stderr is not None
    while "Dropping schema zz_last" not in process.stderr.readline():
        pass
    process.kill()
    process.communicate()
    loop.run(connection.close())
    settle(scratch)
    assert scratch.schema() == before
    assert init(scratch.environ).code == 0
    assert scratch.schema() == "new"


@pytest.mark.parametrize(
    "line",
    [
        "Dropping database",
        "Dropping schema public",
        "Recreating schema public",
        "Running upgrade",
        "Verified table users",
        "Verified table provider_tokens",
        "Filling database",
        "initialized successfully",
    ],
)
def test_killed_at_any_point(init: Init, loop: asyncio.Runner, scratch: Database, line: str) -> None:
    before = scratch.schema()
    process = init.start(scratch.environ)
    assert process.stderr is not None
    while said := process.stderr.readline():
        if line in said:
            break
    else:
        pytest.fail(f"never said {line!r}")
    process.kill()
    process.communicate()
    settle(scratch)
    assert scratch.schema() in (before, "new")
    # A template that is not finished is never cloned.
    with contextlib.suppress(TestDatabaseError):
        name = loop.run(clones.ensure(scratch.environ, "gw1"))
        assert Database(scratch.server, name, scratch.user, scratch.password).schema() == "new"
    again = init(scratch.environ)
    assert again.code == 0, again.err
    assert scratch.schema() == "new"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(init: Init, scratch: Database, number: signal.Signals) -> None:
    before = scratch.schema()
    process = init.start(scratch.environ)
    assert process.stderr is not None
    while "Dropping schema public" not in process.stderr.readline():
        pass
    process.send_signal(number)
    error = process.communicate(timeout=30)[1]
    assert process.returncode != 0
    assert "Traceback" not in error
    settle(scratch)
    assert scratch.schema() in (before, "new")


def test_a_connection_that_breaks(
    init: Init, scratch: Database, pooler: Callable[[dict[str, str]], Pooler]
) -> None:
    before = scratch.schema()
    through = pooler({})
    process = init.start(scratch.environ | {"DATABASE_URL": scratch.url(hosts=through.hosts)})
    assert process.stderr is not None
    while "Dropping schema public" not in process.stderr.readline():
        pass
    scratch.server.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'init_test_db'"
    )
    error = process.communicate(timeout=30)[1]
    settle(scratch)
    if process.returncode:
        assert scratch.schema() == before
        assert "Traceback" not in error
    else:
        assert scratch.schema() == "new"
