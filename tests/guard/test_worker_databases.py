"""The databases of parallel test workers: cloned from the template, closed to others, guarded as the rest."""

import asyncio
import secrets
from typing import Any

import asyncpg
import pytest

from src.core.schema.migrate import LOCK
from src.core.test_databases import clones
from src.core.test_databases.policy import RefusalError, TestDatabaseError
from tests.guard.scratch import Database, Init, Server

# Name, owner, whether it takes connections, whether PUBLIC may connect.
DATABASES = """
    SELECT datname, pg_get_userbyid(datdba), datallowconn, EXISTS (
        SELECT FROM aclexplode(coalesce(datacl, acldefault('d', datdba)))
        WHERE grantee = 0 AND privilege_type = 'CONNECT'
    ) FROM pg_database WHERE true
"""


WAITING = """
    SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND NOT granted AND datname = '{database}'
"""


@pytest.fixture
def initialised(init: Init, scratch: Database) -> Database:
    assert init(scratch.environ).code == 0
    return scratch


def test_the_template_is_closed(initialised: Database, server: Server, loop: asyncio.Runner) -> None:
    template = f"{initialised.name}_template"
    facts = server.sql(f"{DATABASES} AND datname LIKE '%_template'")
    assert facts == f"{template}|{initialised.user}|False|False"
    with pytest.raises(asyncpg.PostgresError, match="not currently accepting connections"):
        loop.run(initialised.connect(database=template))
    assert f"{initialised.name}_gw0" not in server.databases()


def test_clone_use_drop(initialised: Database, server: Server, loop: asyncio.Runner) -> None:
    async def use() -> None:
        async with clones.worker_database(initialised.environ, "gw3") as name:
            assert name == f"{initialised.name}_gw3"
            owner = await initialised.connect(database=name)
            assert await owner.fetchval("SELECT count(*) FROM users") == 0
            await owner.execute("CREATE TABLE left_over (id int)")
            await owner.close()
            runtime = await initialised.connect(initialised.runtime, name)
            assert await runtime.fetchval("SELECT count(*) FROM provider_audit_logs") == 0
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await runtime.execute("DELETE FROM provider_audit_logs")
            await runtime.close()
            assert await clones.ensure(initialised.environ, "gw3") == name
            owner = await initialised.connect(database=name)
            assert await owner.fetchval("SELECT to_regclass('left_over') IS NOT NULL")
            await owner.close()
            await clones.clone(initialised.environ, "gw3")
            owner = await initialised.connect(database=name)
            assert await owner.fetchval("SELECT to_regclass('left_over') IS NULL")
            await owner.close()

    loop.run(use())
    assert f"{initialised.name}_gw3" not in server.databases()


def test_nobody_else_may_connect(initialised: Database, server: Server, loop: asyncio.Runner) -> None:
    server.sql("DROP ROLE IF EXISTS stranger")
    server.sql(f"CREATE ROLE stranger LOGIN PASSWORD {server.quoted_password}")
    name = loop.run(clones.ensure(initialised.environ, "gw1"))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        loop.run(initialised.connect("stranger", name))


def test_workers_start_at_once(initialised: Database, server: Server, loop: asyncio.Runner) -> None:
    async def all_at_once() -> list[str]:
        environ = initialised.environ
        return await asyncio.gather(*(clones.ensure(environ, f"gw{n}") for n in range(4)))

    names = loop.run(all_at_once())
    assert names == [f"{initialised.name}_gw{n}" for n in range(4)]
    assert set(names) <= set(server.databases())


def test_an_unfinished_clone_is_made_anew(
    initialised: Database, server: Server, loop: asyncio.Runner
) -> None:
    server.sql(f'CREATE DATABASE "{initialised.name}_gw5" OWNER {initialised.user} ALLOW_CONNECTIONS false')
    name = loop.run(clones.ensure(initialised.environ, "gw5"))
    connection = loop.run(initialised.connect(database=name))
    assert loop.run(connection.fetchval("SELECT count(*) FROM users")) == 0
    loop.run(connection.close())


@pytest.mark.parametrize("template", ["", 'CREATE DATABASE "{name}_template" OWNER {user}'])
def test_no_finished_template(scratch: Database, server: Server, loop: asyncio.Runner, template: str) -> None:
    if template:
        server.sql(template.format(name=scratch.name, user=scratch.user))
    with pytest.raises(TestDatabaseError, match="init_test_db"):
        loop.run(clones.ensure(scratch.environ, "gw1"))


def test_a_worker_database_in_use(initialised: Database, loop: asyncio.Runner) -> None:
    name = loop.run(clones.ensure(initialised.environ, "gw1"))
    connection = loop.run(initialised.connect(database=name))
    try:
        with pytest.raises(TestDatabaseError, match="accessed by other users"):
            loop.run(clones.drop(initialised.environ, "gw1"))
    finally:
        loop.run(connection.close())


@pytest.mark.parametrize("act", [clones.clone, clones.drop, clones.ensure])
@pytest.mark.parametrize(
    ("layer", "wrong"),
    [
        (1, {"ENVIRONMENT": "development"}),
        (2, {"TESTING": "True"}),
        (3, {"PGDATABASE": "dashtam"}),
    ],
)
def test_layers_before_the_connection(
    scratch: Database, loop: asyncio.Runner, act: Any, layer: int, wrong: dict[str, str]
) -> None:
    before = scratch.fingerprint()
    with pytest.raises(RefusalError) as caught:
        loop.run(act(scratch.environ | wrong, "gw0"))
    assert caught.value.layer == layer
    assert scratch.fingerprint() == before


@pytest.mark.parametrize("act", [clones.clone, clones.drop, clones.ensure])
def test_the_layer_on_the_connection(server: Server, loop: asyncio.Runner, act: Any) -> None:
    owner = f"regent_{act.__name__}"
    database = server.prepare(f"{owner}_test", owner=owner)
    server.sql(f"ALTER ROLE {owner} SUPERUSER")
    before = database.fingerprint()
    with pytest.raises(RefusalError) as caught:
        loop.run(act(database.environ, "gw0"))
    assert caught.value.layer == 4
    assert database.fingerprint() == before


@pytest.mark.parametrize("act", [clones.clone, clones.drop])
def test_the_layer_is_checked_again_right_before_the_drop(
    init: Init, server: Server, loop: asyncio.Runner, act: Any
) -> None:
    """What waits for an initialisation to end may find another server than it connected to."""
    owner = f"upstart_{act.__name__}"
    database = server.prepare(f"{owner}_test", owner=owner)

    async def overtaken() -> None:
        holder = await database.connect()
        await holder.execute(f"SELECT pg_advisory_lock({LOCK})")
        waiting = asyncio.create_task(act(database.environ, "gw0"))
        async with asyncio.timeout(4):
            while server.sql(WAITING.format(database=database.name)) == "0":  # noqa: ASYNC110 - the server tells
                await asyncio.sleep(0.05)
        server.sql(f"ALTER ROLE {owner} SUPERUSER")
        await holder.close()
        await waiting

    with pytest.raises(RefusalError) as caught:
        loop.run(overtaken())
    assert caught.value.layer == 4
    assert f"{database.name}_gw0" in server.databases()


def test_a_name_that_is_percent_encoded(init: Init, server: Server, loop: asyncio.Runner) -> None:
    """Layer 3 decodes it, and so do the migrations, the template and the workers' copies."""
    database = server.prepare("50% off: ünï/test_test", owner=f"owner_{secrets.token_hex(4)}")
    run = init(database.environ)
    assert run.code == 0, run.err
    assert database.schema() == "new"
    name = loop.run(clones.clone(database.environ, "gw3"))
    assert name == f"{database.name}_gw3"
    loop.run(clones.drop(database.environ, "gw3"))
    assert name not in server.databases()


def test_only_names_of_workers(scratch: Database, loop: asyncio.Runner) -> None:
    with pytest.raises(ValueError, match="no worker"):
        loop.run(clones.drop(scratch.environ, "template"))
