"""What a permitted initialisation leaves: everything of before gone, our tables as the models say."""

import asyncio

import asyncpg
import pytest

from src.models import metadata
from tests.guard.scratch import Database, Init, Server

SCHEMA = """
    SELECT nspowner::regrole::text, nspacl::text, obj_description(oid)
    FROM pg_namespace WHERE nspname = 'public'
"""
OLD = """
    SET ROLE scratch_owner;
    CREATE SCHEMA "odd "" name";
    CREATE TABLE "odd "" name".t (id int);
    CREATE SCHEMA legacy;
    CREATE TABLE legacy.users (id serial PRIMARY KEY);
    CREATE VIEW public.of_legacy AS SELECT * FROM legacy.users;
    CREATE TYPE public.colour AS ENUM ('red');
    CREATE DOMAIN legacy.positive AS int CHECK (value > 0);
    CREATE FUNCTION public.users() RETURNS int LANGUAGE sql AS 'SELECT 1';
    CREATE TABLE public.users (wrong text);
    CREATE MATERIALIZED VIEW public.m AS SELECT 1 AS one;
    CREATE EXTENSION hstore SCHEMA legacy;
    CREATE EXTENSION citext SCHEMA public;
    CREATE PUBLICATION published FOR TABLE public.users;
    SELECT lo_create(0);
    REVOKE ALL ON SCHEMA public FROM PUBLIC;
    COMMENT ON SCHEMA public IS 'ours';
"""
A_USER = "INSERT INTO users (email, password_hash, name) VALUES ('a@b.c', 'x', 'y')"


def test_everything_is_dropped_and_recreated(init: Init, scratch: Database) -> None:
    as_initdb_made_it = scratch.sql(SCHEMA)
    scratch.sql(OLD)
    # The administrator's own, in a schema that is not: it goes with the schema.
    scratch.sql("CREATE EXTENSION pg_trgm SCHEMA public")
    run = init(scratch.environ)
    assert run.code == 0, run.err
    assert scratch.schema() == "new"
    assert scratch.sql("SELECT extname FROM pg_extension ORDER BY 1") == "plpgsql\nuuid-ossp"
    assert scratch.sql("SELECT count(*) FROM pg_publication") == "0"
    assert scratch.sql("SELECT count(*) FROM pg_largeobject_metadata") == "0"
    for what in (
        'schema odd " name',
        "schema legacy",
        "schema public",
        "extension hstore",
        "extension citext",
        "extension pg_trgm",
        "publication published",
        "large object ",
        f"database {scratch.name}_gw0",
    ):
        assert f"Dropping {what}".replace('"', r"\"") in run.err
    for table in metadata.tables:
        assert f"Verified table {table}" in run.err
    assert "Test database initialized successfully" in run.err.splitlines()[-1]
    assert "level=warning" not in run.err
    # Besides what initdb gives, only what the migrations grant to the runtime role.
    now = scratch.sql(SCHEMA)
    assert now.replace(f",{scratch.runtime}=U/pg_database_owner", "") == as_initdb_made_it


def test_again_and_again(init: Init, scratch: Database) -> None:
    for _ in range(2):
        run = init(scratch.environ)
        assert run.code == 0, run.err
        assert scratch.schema() == "new"
        assert scratch.sql("SELECT count(*) FROM users") == "0"
        scratch.sql(A_USER)


def test_the_runtime_role_can_use_what_is_new(init: Init, loop: asyncio.Runner, scratch: Database) -> None:
    assert init(scratch.environ).code == 0
    connection = loop.run(scratch.connect(scratch.runtime))
    try:
        assert loop.run(connection.fetchval("SELECT count(*) FROM users")) == 0
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            loop.run(connection.execute("DELETE FROM provider_audit_logs"))
    finally:
        loop.run(connection.close())


def test_an_idle_app_is_no_obstacle(init: Init, loop: asyncio.Runner, scratch: Database) -> None:
    connection = loop.run(scratch.connect(scratch.runtime))
    loop.run(connection.fetchval("SELECT 1"))
    try:
        run = init(scratch.environ)
        assert run.code == 0, run.err
        assert loop.run(connection.fetchval("SELECT count(*) FROM users")) == 0
    finally:
        loop.run(connection.close())


def test_other_databases_stay(init: Init, server: Server, scratch: Database, database: Database) -> None:
    """Also those whose names come close to a worker's."""
    near = [f"{scratch.name}_gw", f"{scratch.name}_gwx", f"{scratch.name}_gw0_old", f"{scratch.name}gw1"]
    for name in near:
        server.sql(f'CREATE DATABASE "{name}"')
    before = database.sql("TABLE precious")
    assert init(scratch.environ).code == 0
    assert set(near) <= set(server.databases())
    assert f"{database.name}_gw0" in server.databases()
    assert database.sql("TABLE precious") == before


def test_slow_settings_are_told(init: Init, other_server: Server) -> None:
    database = other_server.prepare("slow_test")
    run = init(database.environ)
    assert run.code == 0, run.err
    for name in ("fsync", "full_page_writes", "synchronous_commit"):
        assert f'level=warning msg="{name} is on, ' in run.err
    assert other_server.sql("SHOW fsync") == "on"
