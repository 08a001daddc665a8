"""Each clause of the six layers, alone: on a real server, everything else truly holds.

So a database called `contest` exists, is owned, carries the real mark, and its real identity is handed over.
Every refusal is one line that names its layer and shows no password, and leaves a fingerprint unchanged.
"""

import asyncio
import secrets
from collections.abc import Callable, Iterator
from urllib.parse import quote

import asyncpg
import pytest

from tests.guard.scratch import MARK, Database, Init, Pooler, Server

# Layers 1 to 3: the environment that is handed over.


def test_nothing_is_wrong_with_the_database_of_these_tests(init: Init, scratch: Database) -> None:
    """Or every refusal below would prove nothing."""
    assert init(scratch.environ).code == 0


def without(environ: dict[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in environ.items() if key != name}


@pytest.mark.parametrize(
    "value", ["Testing", "TESTING", " testing", "testing ", "test", "development", "production"]
)
def test_environment(init: Init, database: Database, value: str) -> None:
    assert ascii(value) in init.refused(1, database, database.environ | {"ENVIRONMENT": value})


@pytest.mark.parametrize("value", ["True", "TRUE", " true", "1", "yes", "false"])
def test_testing(init: Init, database: Database, value: str) -> None:
    assert ascii(value) in init.refused(2, database, database.environ | {"TESTING": value})


@pytest.mark.parametrize(
    ("layer", "name"),
    [(1, "ENVIRONMENT"), (2, "TESTING"), (3, "DATABASE_URL"), (6, "TEST_DATABASE_IDENTITY")],
)
def test_a_missing_variable(init: Init, database: Database, layer: int, name: str) -> None:
    assert name in init.refused(layer, database, without(database.environ, name))


@pytest.mark.parametrize(
    ("layer", "other"),
    [
        (1, "environment"),
        (1, "Environment"),
        (2, "testing"),
        (2, "Testing"),
        (3, "database_url"),
        (6, "test_database_identity"),
    ],
)
def test_a_second_spelling(init: Init, database: Database, layer: int, other: str) -> None:
    environ = database.environ
    assert other in init.refused(layer, database, environ | {other: environ[other.upper()]})


@pytest.mark.parametrize(
    "name",
    ["contest", "latest", "dashtam_testing", "testdb", "dashtam_Test", "dashtam", "protest-db", "my.test"],
)
def test_a_name_without_the_word(init: Init, server: Server, name: str) -> None:
    database = server.prepare(name)
    assert ascii(name) in init.refused(3, database, database.environ)


def test_only_user_and_password_say_test(init: Init, server: Server) -> None:
    database = server.prepare("ledger", owner="owner_test", password="test")
    assert "'ledger'" in init_refused_with_a_short_password(init, database)


def init_refused_with_a_short_password(init: Init, database: Database) -> str:
    """`test` as a password is in every message; that the URL is not is what can be asked for."""
    before = database.fingerprint()
    run = init(database.environ)
    assert run.code == 3
    assert "refused by layer 3" in run.err
    assert database.url() not in run.err
    assert database.fingerprint() == before
    return run.err


def test_a_name_too_long_for_its_template(init: Init, server: Server) -> None:
    database = server.prepare("x" * 50 + "_test")
    init.refused(3, database, database.environ)


@pytest.mark.parametrize("driver", ["postgresql", "postgres", "postgresql+psycopg"])
def test_another_driver(init: Init, database: Database, driver: str) -> None:
    wrong = database.url(driver=driver)
    assert driver in init.refused(3, database, database.environ | {"DATABASE_URL": wrong})


@pytest.mark.parametrize("identity_of", ["dashtam_test", "treasure"])
def test_a_query_string_that_names_another_database(
    init: Init, server: Server, database: Database, identity_of: str
) -> None:
    """`/dashtam_test?database=treasure`: whichever of the two the driver took, its identity is at hand."""
    other = database if identity_of == database.name else server.prepare(identity_of)
    wrong = database.url(query="?database=treasure")
    environ = database.environ | {"DATABASE_URL": wrong, "TEST_DATABASE_IDENTITY": other.identity}
    assert "'database'" in init.refused(3, other, environ)


@pytest.mark.parametrize("query", ["?", "?ssl=disable", "?prepared_statement_cache_size=0"])
def test_any_query_string(init: Init, database: Database, query: str) -> None:
    init.refused(3, database, database.environ | {"DATABASE_URL": database.url(query=query)})


def test_two_hosts(init: Init, database: Database) -> None:
    host = f"{database.server.host}:{database.server.port}"
    wrong = database.url(hosts=f"{host},{host}")
    assert "not one host" in init.refused(3, database, database.environ | {"DATABASE_URL": wrong})


@pytest.mark.parametrize(
    "password", ["s3cr3t@w0rd", "s3cr3t$w0rd", "s3cr3t:w0rd", "s3cr3t%2fw0rd", "s3cr3t w0rd", "s3cr3t+w0rd"]
)
def test_an_ambiguous_url_is_not_printed(init: Init, server: Server, password: str) -> None:
    """Parsers read these, and differently; the role has the password that one of them finds."""
    owner = f"owner_{secrets.token_hex(4)}"
    database = server.prepare(f"{owner}_test", owner=owner, password=password.replace("%2f", "/"))
    line = init.refused(3, database, database.environ | {"DATABASE_URL": database.url(password=password)})
    for part in (owner, "s3cr3t", "w0rd", str(server.port)):
        assert part not in line


def test_a_password_that_only_a_file_knows(init: Init, database: Database) -> None:
    secret = database.password.replace("\\", "\\\\").replace(":", "\\:")
    file = init.home / ".pgpass"
    file.write_text(f"*:*:*:*:{secret}\n")
    file.chmod(0o600)
    wrong = database.url().replace(f":{quote(database.password, safe='')}@", "@")
    init.refused(3, database, database.environ | {"DATABASE_URL": wrong})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PGHOST", "127.0.0.1"),
        ("PGHOST", ""),
        ("PGHOSTADDR", "127.0.0.1"),
        ("PGPORT", "5432"),
        ("PGDATABASE", "dashtam_test"),
        ("PGUSER", "scratch_owner"),
        ("PGPASSWORD", "s3cr3t"),
        ("PGPASSFILE", "/dev/null"),
        ("PGSERVICE", "dashtam"),
        ("PGSERVICEFILE", "/dev/null"),
        ("PGOPTIONS", f"-c {MARK}=on"),
        ("PGSSLMODE", "disable"),
        ("PGTARGETSESSIONATTRS", "any"),
        ("PGAPPNAME", "x"),
        ("PGCONNECT_TIMEOUT", "5"),
        ("pgdatabase", "dashtam"),
    ],
)
def test_a_variable_of_libpq(init: Init, database: Database, name: str, value: str) -> None:
    line = init.refused(3, database, database.environ | {name: value})
    assert name in line
    assert "s3cr3t" not in line


def test_no_argument_leads_around(init: Init, database: Database) -> None:
    before = database.fingerprint()
    run = init(database.environ, "--force")
    assert (run.code, run.err.count("\n")) == (2, 1)
    assert database.fingerprint() == before


# Layer 4: what the connection says.


def test_a_pooler_that_leads_to_another_database(
    init: Init, server: Server, database: Database, pooler: Callable[[dict[str, str]], Pooler]
) -> None:
    treasure = server.prepare("treasury")
    through = pooler({"dashtam_test": "treasury"})
    line = init.refused(
        4,
        treasure,
        treasure.environ | {"DATABASE_URL": treasure.url(hosts=through.hosts, database="dashtam_test")},
    )
    assert "'treasury'" in line


def test_a_pooler_that_logs_in_as_another_user(
    init: Init, server: Server, database: Database, pooler: Callable[[dict[str, str]], Pooler]
) -> None:
    through = pooler({"somebody": "scratch_owner"})
    wrong = database.url(hosts=through.hosts, user="somebody")
    assert "'scratch_owner'" in init.refused(4, database, database.environ | {"DATABASE_URL": wrong})


@pytest.fixture
def changeling(server: Server, database: Database) -> Iterator[Database]:
    """A role that becomes the owner when it logs in."""
    server.sql("DROP ROLE IF EXISTS changeling; CREATE ROLE changeling LOGIN NOSUPERUSER")
    server.sql("GRANT scratch_owner TO changeling; ALTER ROLE changeling SET role = scratch_owner")
    server.sql(f"ALTER ROLE changeling PASSWORD {server.quoted_password}")
    server.sql("GRANT CONNECT ON DATABASE dashtam_test TO changeling")
    yield Database(server, database.name, "changeling", server.password)
    server.sql("REVOKE CONNECT ON DATABASE dashtam_test FROM changeling")


def test_a_user_who_becomes_another(init: Init, changeling: Database) -> None:
    assert "'scratch_owner'" in init.refused(4, changeling, changeling.environ)


def test_another_user_who_becomes_this_one(
    init: Init, changeling: Database, database: Database, pooler: Callable[[dict[str, str]], Pooler]
) -> None:
    """The name is right, but whoever logged in can take it off again."""
    through = pooler({"scratch_owner": "changeling"})
    environ = database.environ | {"DATABASE_URL": database.url(hosts=through.hosts)}
    assert "'changeling'" in init.refused(4, database, environ)


def test_a_superuser(init: Init, server: Server) -> None:
    database = server.prepare("emperor_test", owner="emperor")
    server.sql("ALTER ROLE emperor SUPERUSER")
    assert "superuser" in init.refused(4, database, database.environ)


def test_a_member_of_a_superuser(init: Init, server: Server) -> None:
    database = server.prepare("courtier_test", owner="courtier")
    server.sql("GRANT postgres TO courtier")
    assert "superuser" in init.refused(4, database, database.environ)


# Layer 5: the mark. That every session of this server sees it as a setting counts for nothing.


def mark_nothing(database: Database) -> None:
    pass


def mark_with_another_value(database: Database) -> None:
    database.sql(f"""ALTER DATABASE "{database.name}" SET {MARK} = 'true'""")


def mark_as_setting_of_the_role(database: Database) -> None:
    database.sql(f"ALTER ROLE {database.user} SET {MARK} = 'on'")


def mark_as_setting_of_the_role_in_the_database(database: Database) -> None:
    database.sql(f"""ALTER ROLE {database.user} IN DATABASE "{database.name}" SET {MARK} = 'on'""")


def mark_every_database(database: Database) -> None:
    database.sql(f"ALTER ROLE ALL SET {MARK} = 'on'")


def mark_another_database(database: Database) -> None:
    database.server.sql(f"ALTER DATABASE postgres SET {MARK} = 'on'")


def mark_as_comment(database: Database) -> None:
    database.sql(f"""COMMENT ON DATABASE "{database.name}" IS '{MARK}=on'""")


def mark_as_table(database: Database) -> None:
    database.sql(f"""CREATE SCHEMA dashtam; CREATE TABLE {MARK} AS SELECT true AS "on" """)


def mark_as_another_setting(database: Database) -> None:
    database.sql(f"""ALTER DATABASE "{database.name}" SET x{MARK} = 'on'""")


@pytest.mark.parametrize(
    "marked",
    [
        mark_nothing,
        mark_with_another_value,
        mark_as_setting_of_the_role,
        mark_as_setting_of_the_role_in_the_database,
        mark_every_database,
        mark_another_database,
        mark_as_comment,
        mark_as_table,
        mark_as_another_setting,
    ],
)
def test_no_mark(init: Init, server: Server, marked: Callable[[Database], None]) -> None:
    owner = f"owner_{marked.__name__}"
    database = server.prepare(f"{marked.__name__}_test", owner=owner, disposable=False)
    marked(database)
    try:
        assert f"{MARK}=on" in init.refused(5, database, database.environ)
    finally:
        server.sql(f"ALTER ROLE ALL RESET {MARK}")
        server.sql(f"ALTER DATABASE postgres RESET {MARK}")


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER DATABASE \"{name}\" SET {mark} = 'on'",
        "ALTER ROLE {user} SET {mark} = 'on'",
        "ALTER ROLE {user} IN DATABASE \"{name}\" SET {mark} = 'on'",
    ],
)
def test_an_owner_cannot_write_the_mark(loop: asyncio.Runner, scratch: Database, statement: str) -> None:
    connection = loop.run(scratch.connect())
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            loop.run(connection.execute(statement.format(name=scratch.name, user=scratch.user, mark=MARK)))
    finally:
        loop.run(connection.close())


# Layer 6: the identity.


def test_another_database_of_the_same_server(init: Init, server: Server, database: Database) -> None:
    other = server.prepare("sibling_test")
    environ = database.environ | {"TEST_DATABASE_IDENTITY": other.identity}
    line = init.refused(6, database, environ)
    assert database.identity in line
    assert other.identity in line


def test_another_server_with_the_same_oid(
    init: Init, other_server: Server, server: Server, database: Database
) -> None:
    """Two servers made alike number their databases alike, as test and ci do."""
    twin = other_server.prepare("dashtam_test")
    oid = database.identity.split(":")[1]
    identity = f"{twin.identity.split(':')[0]}:{oid}"
    init.refused(6, database, database.environ | {"TEST_DATABASE_IDENTITY": identity})


@pytest.mark.parametrize(
    "form", ["{0}", ":{1}", "{0}:", "{0}:{1}:", " {0}:{1}", "0{0}:{1}", "{1}:{0}", "{0}:*"]
)
def test_a_malformed_identity(init: Init, database: Database, form: str) -> None:
    wrong = form.format(*database.identity.split(":"))
    init.refused(6, database, database.environ | {"TEST_DATABASE_IDENTITY": wrong})


# Layers 4 to 6: what a session's own temporary tables say instead of the catalogs.

SHADOWS = """
    CREATE FUNCTION shadow() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
        IF session_user = '{user}' THEN
            CREATE TEMP TABLE pg_roles AS SELECT * FROM pg_catalog.pg_roles WHERE false;
            CREATE TEMP TABLE pg_db_role_setting AS
                SELECT {oid}::oid AS setdatabase, 0::oid AS setrole, ARRAY['{mark}=on'] AS setconfig;
            CREATE TEMP TABLE pg_database AS
                SELECT {oid}::oid AS oid, datname, datacl, datallowconn FROM pg_catalog.pg_database;
        END IF;
    END $$;
    CREATE EVENT TRIGGER shadow ON login EXECUTE FUNCTION shadow();
    ALTER EVENT TRIGGER shadow ENABLE ALWAYS;
"""


@pytest.mark.parametrize(
    ("layer", "disposable", "role"), [(4, True, "SUPERUSER"), (5, False, ""), (6, True, "")]
)
def test_temporary_tables_do_not_hide_the_catalogs(
    init: Init, server: Server, layer: int, disposable: bool, role: str
) -> None:
    owner = f"shadow_{secrets.token_hex(4)}"
    database = server.prepare(f"{owner}_test", owner=owner, disposable=disposable)
    system, oid = database.identity.split(":")
    environ = database.environ | {"TEST_DATABASE_IDENTITY": f"{system}:{int(oid) + (layer == 6)}"}
    database.sql(SHADOWS.format(user=owner, mark=MARK, oid=int(oid) + (layer == 6)))
    if role:
        server.sql(f"ALTER ROLE {owner} {role}")
    run = init(environ)
    assert run.code == 3, run.err
    assert run.err.startswith(f"init_test_db: refused by layer {layer} ("), run.err
    assert database.sql("SELECT count(*) FROM public.precious") == "1"
