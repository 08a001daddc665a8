"""Layers 1 to 3 and the form of the identity: one row per clause, then generated cases."""

import re
from pathlib import Path
from urllib.parse import quote

import pytest
from sqlalchemy import make_url

from src.core.test_databases.policy import (
    RefusalError,
    Target,
    read_identity,
    read_target,
)
from src.core.web.server import SOURCE
from tests.properties import given, st

PASSWORD = "5tr0ng-pa55word"
URL = f"postgresql+asyncpg://owner:{PASSWORD}@postgres:5432/dashtam_test"
GOOD = {
    "ENVIRONMENT": "testing",
    "TESTING": "true",
    "DATABASE_URL": URL,
    "TEST_DATABASE_IDENTITY": "7412:16384",
}


def url(
    *,
    driver: str = "postgresql+asyncpg",
    user: str = "owner",
    password: str = PASSWORD,
    hosts: str = "postgres:5432",
    database: str = "dashtam_test",
    query: str = "",
) -> str:
    return f"{driver}://{user}:{password}@{hosts}/{database}{query}"


def refusal(environ: dict[str, str]) -> RefusalError:
    with pytest.raises(RefusalError) as caught:
        read_target(environ)
    line = str(caught.value)
    assert "\n" not in line
    assert PASSWORD not in line
    return caught.value


def test_everything_holds() -> None:
    assert read_target(GOOD) == Target("owner", PASSWORD, "postgres", 5432, "dashtam_test")
    assert read_identity(GOOD) == "7412:16384"


def test_a_target_hides_its_password() -> None:
    assert PASSWORD not in repr(read_target(GOOD))
    assert PASSWORD not in read_target(GOOD).where


@pytest.mark.parametrize(
    "value",
    ["", "test", "Testing", "TESTING", " testing", "testing ", "testing\n", "development", "production"],
)
def test_environment_is_exact(value: str) -> None:
    error = refusal(GOOD | {"ENVIRONMENT": value})
    assert error.layer == 1
    assert ascii(value) in str(error)


@pytest.mark.parametrize("value", ["", "True", "TRUE", " true", "true ", "true\n", "1", "yes", "on", "false"])
def test_testing_is_exact(value: str) -> None:
    error = refusal(GOOD | {"TESTING": value})
    assert error.layer == 2
    assert ascii(value) in str(error)


@pytest.mark.parametrize("value", ["", "True", " true", "1", "require", "verify-full"])
def test_tls_is_exact(value: str) -> None:
    error = refusal(GOOD | {"POSTGRES_TLS": value})
    assert error.layer == 3
    assert ascii(value) in str(error)


def test_tls_is_told_the_driver_beside_the_url() -> None:
    assert not read_target(GOOD | {"POSTGRES_TLS": "false"}).tls
    target = read_target(GOOD | {"POSTGRES_TLS": "true", "TLS_CA_FILE": "/app/certs/ca.pem"})
    assert (target.tls, target.ca_file) == (True, Path("/app/certs/ca.pem"))
    assert "'postgres_tls'" in str(refusal(GOOD | {"POSTGRES_TLS": "true", "postgres_tls": "false"}))


@pytest.mark.parametrize(("layer", "name"), [(1, "ENVIRONMENT"), (2, "TESTING"), (3, "DATABASE_URL")])
def test_a_missing_variable(layer: int, name: str) -> None:
    error = refusal({key: value for key, value in GOOD.items() if key != name})
    assert error.layer == layer
    assert f"{name} is not set" in str(error)


@pytest.mark.parametrize(
    ("layer", "other"),
    [
        (1, "environment"),
        (1, "Environment"),
        (1, " ENVIRONMENT"),
        (2, "testing"),
        (2, "Testing"),
        (2, "TESTING "),
        (3, "database_url"),
        (3, "Database_Url"),
    ],
)
def test_a_second_spelling(layer: int, other: str) -> None:
    # With the very same value: that the two agree today is no reason to let both stand.
    error = refusal(GOOD | {other: GOOD[other.strip().upper()]})
    assert error.layer == layer
    assert ascii(other) in str(error)


@pytest.mark.parametrize(
    "name", ["TEST_ENVIRONMENT", "ENVIRONMENTS", "LOG_LEVEL", "POSTGRES_PORT", "PIP_CERT"]
)
def test_other_variables_do_not_matter(name: str) -> None:
    assert read_target(GOOD | {name: "x"})


@pytest.mark.parametrize(
    "name",
    [
        "PGHOST",
        "PGHOSTADDR",
        "PGPORT",
        "PGDATABASE",
        "PGUSER",
        "PGPASSWORD",
        "PGPASSFILE",
        "PGSERVICE",
        "PGSERVICEFILE",
        "PGOPTIONS",
        "PGSSLMODE",
        "PGSSLROOTCERT",
        "PGTARGETSESSIONATTRS",
        "PGAPPNAME",
        "PGCONNECT_TIMEOUT",
        "PGTZ",
        "PGSOMETHINGNEW",
        "pghost",
    ],
)
@pytest.mark.parametrize("value", [PASSWORD, ""])
def test_a_variable_of_libpq(name: str, value: str) -> None:
    error = refusal(GOOD | {name: value})
    assert error.layer == 3
    assert name in str(error)


@pytest.mark.parametrize(
    "name", ["dashtam_test", "test_dashtam", "test", "dashtam-test", "a-test_b", "my_test-db", "test_"]
)
def test_test_as_a_whole_word(name: str) -> None:
    assert read_target(GOOD | {"DATABASE_URL": url(database=name)}).database == name


@pytest.mark.parametrize(
    "name",
    [
        "dashtam",
        "latest",
        "contest",
        "attest_db",
        "dashtam_testing",
        "testdb",
        "tests",
        "pretest",
        "dashtamtest",
        "dashtam_Test",
        "DASHTAM_TEST",
        "dashtam.test",
        "te_st",
        "dashtam%20test",
        "my+test",
    ],
)
def test_no_whole_word_test(name: str) -> None:
    error = refusal(GOOD | {"DATABASE_URL": url(database=quote(name, safe="%"))})
    assert error.layer == 3
    assert "whole word" in str(error)


@pytest.mark.parametrize(
    "parts",
    [
        {"user": "test"},
        {"password": "test"},
        {"hosts": "test:5432"},
        {"hosts": "db.test"},
    ],
)
def test_only_another_part_says_test(parts: dict[str, str]) -> None:
    error = refusal(GOOD | {"DATABASE_URL": url(database="dashtam", **parts)})
    assert error.layer == 3
    assert "'dashtam'" in str(error)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (url(driver="postgresql"), "driver is 'postgresql'"),
        (url(driver="postgres"), "driver is 'postgres'"),
        (url(driver="postgresql+psycopg"), "driver is 'postgresql+psycopg'"),
        (url(driver="POSTGRESQL+ASYNCPG"), "driver is 'POSTGRESQL+ASYNCPG'"),
        (url(query="?database=dashtam"), "sets 'database'"),
        (url(query="?host=dev&ssl=require"), "sets 'host', 'ssl'"),
        (url(query=f"?password={PASSWORD}"), "sets 'password'"),
        (url(query="?"), "sets nothing"),
        (url(database="dashtam", query="?x=test"), "sets 'x'"),
        (url(hosts="postgres,dev:5432"), "not one host"),
        (url(hosts="postgres:5432,dev:5432"), "not one host"),
        (url(hosts="%2Ftmp"), "not one host"),
        (url(hosts="postgres:"), "not one host"),
        (url(hosts="postgres:05432"), "not one host"),
        (url(hosts="postgres:0"), "not one host"),
        (url(hosts="postgres:65536"), "65536 is no port"),
        (url(hosts="postgres:99999"), "99999 is no port"),
        (url(hosts="-oProxy"), "not one host"),
        (url(database="x" * 50 + "_test"), "more than 54 bytes"),
        (url(database=quote("ü" * 25 + "_test", safe="")), "more than 54 bytes"),
    ],
)
def test_a_url_that_names_its_fault(wrong: str, said: str) -> None:
    error = refusal(GOOD | {"DATABASE_URL": wrong})
    assert error.layer == 3
    assert said in str(error)


@pytest.mark.parametrize(
    "wrong",
    [
        f"postgresql+asyncpg://secretuser:{PASSWORD}@secrethost@secret:5432/dashtam_test",
        url(user="secretuser", password="secret@pass"),
        url(user="secretuser", password="secret:pass"),
        url(user="secretuser", password="secret/pass"),
        url(user="secretuser", password="secret#pass"),
        url(user="secretuser", password="secret?pass"),
        url(user="secretuser", password="secret$pass"),
        url(user="secretuser", password="secret pass"),
        url(user="secretuser", password="secret+pass"),
        url(user="secretuser", password="secret%2fpass"),
        url(user="secretuser", password="secret%pass"),
        url(user="secretuser", password="secret%41pass"),
        url(user="secretuser", password="secret%FFpass"),
        url(user="secretuser", password="secret%00pass"),
        url(user="secretuser", password="secret\udcffpass"),
        url(user="secretuser", password="secret\n"),
        url(user="secretuser", password=""),
        url(user="", password="secretpass"),
        url(user="secret%0Auser"),
        url(user="secretuser", database="secret%00_test"),
        url(user="secretuser", database=""),
        url(user="secretuser", database="secret/dashtam_test"),
        url(user="secretuser", database="dashtam_test#secret"),
        url(user="secretuser", query="?x=secret#fragment"),
        url(user="secretuser", database="dashtam%5Ftest"),
        url(user="secretuser", hosts=""),
        "postgresql+asyncpg://secretuser@secrethost/dashtam_test",
        "postgresql+asyncpg://secrethost/dashtam_test",
        "postgresql+asyncpg:///dashtam_test?host=secret",
        " " + url(user="secretuser"),
        url(user="secretuser") + "\n",
        f"secretuser:{PASSWORD}@secrethost/dashtam_test",
        "",
    ],
)
def test_a_url_of_which_no_part_is_printed(wrong: str) -> None:
    error = refusal(GOOD | {"DATABASE_URL": wrong})
    assert error.layer == 3
    assert "not printed" in str(error)
    assert "secret" not in str(error)


def test_a_second_at_sign_is_named() -> None:
    error = refusal(GOOD | {"DATABASE_URL": url(password="secret@pass")})
    assert "more than one '@'" in str(error)


@pytest.mark.parametrize("host", ["postgres", "127.0.0.1", "db-1.internal", "a_b"])
def test_one_host_without_a_port(host: str) -> None:
    target = read_target(GOOD | {"DATABASE_URL": url(hosts=host)})
    assert (target.host, target.port) == (host, 5432)


def test_an_ipv6_address() -> None:
    assert read_target(GOOD | {"DATABASE_URL": url(hosts="[::1]:5433")}).host == "::1"


@pytest.mark.parametrize("name", ["ENVIRONMENT", "TESTING"])
def test_a_url_in_the_wrong_variable_is_not_printed(name: str) -> None:
    assert "not printed" in str(refusal(GOOD | {name: URL}))


@pytest.mark.parametrize(
    "value",
    [
        "",
        "7412",
        ":",
        "7412:",
        ":16384",
        "7412:16384:1",
        " 7412:16384",
        "7412:16384\n",
        "7412;16384",
        "-7412:16384",
        "07412:16384",
        "7412:016384",
        "0:0",
        "٧٤١٢:16384",
        "7412:x",
        "any",
        "*",
        URL,
    ],
)
def test_the_form_of_the_identity(value: str) -> None:
    with pytest.raises(RefusalError) as caught:
        read_identity(GOOD | {"TEST_DATABASE_IDENTITY": value})
    assert caught.value.layer == 6
    assert PASSWORD not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_identity() -> None:
    with pytest.raises(RefusalError, match="TEST_DATABASE_IDENTITY is not set"):
        read_identity({})


def test_a_second_spelling_of_the_identity() -> None:
    with pytest.raises(RefusalError, match=r"layer 6 .*'test_database_identity'"):
        read_identity(GOOD | {"test_database_identity": "7412:16384"})


@pytest.mark.parametrize("number", ["gw0", "gw7", "gw9999"])
def test_names_of_workers(number: str) -> None:
    target = read_target(GOOD)
    assert target.worker(number) == f"dashtam_test_{number}"
    assert target.is_worker(f"dashtam_test_{number}")
    assert target.template == "dashtam_test_template"


@pytest.mark.parametrize(
    "worker", ["", "gw", "gw00", "gw10000", "master", "gw0\n", 'gw0"; --', "../gw0", "gw٣"]
)
def test_no_worker(worker: str) -> None:
    target = read_target(GOOD)
    with pytest.raises(ValueError, match="no worker"):
        target.worker(worker)
    assert not target.is_worker(f"dashtam_test_{worker}")


@pytest.mark.parametrize(
    "name",
    ["dashtam_test", "dashtam_gw0", "dashtam_testgw0", "gw0", "x_dashtam_test_gw0", "dashtam_test_gw0_gw0"],
)
def test_databases_that_are_no_workers(name: str) -> None:
    assert not read_target(GOOD).is_worker(name)


@pytest.mark.parametrize("module", ["clones", "rebuild"])
def test_every_catalog_is_named_with_its_schema(module: str) -> None:
    """Or a session's temporary table of that name is read instead."""
    source = (SOURCE / "core/test_databases" / f"{module}.py").read_text(encoding="utf-8")
    assert "pg_catalog.pg_database" in source
    assert re.findall(r"(?:FROM|JOIN|,)\s+pg_(?!catalog|temp)\w+", source) == []


# What PostgreSQL and the protocol can carry: anything printable.
printable = st.text(min_size=1, max_size=12).filter(str.isprintable)
words = st.sampled_from(["test", "dashtam", "x", "testing", "latest", "Test"])


@given(
    user=printable, password=printable, host=st.sampled_from(["h", "127.0.0.1"]), port=st.integers(1, 65535)
)
def test_any_encoded_credentials_pass_and_every_parser_reads_the_same(
    user: str, password: str, host: str, port: int
) -> None:
    written = url(user=quote(user, safe=""), password=quote(password, safe=""), hosts=f"{host}:{port}")
    assert read_target(GOOD | {"DATABASE_URL": written}) == Target(user, password, host, port, "dashtam_test")
    parsed = make_url(written)
    assert (parsed.username, parsed.password, parsed.host, parsed.port) == (user, password, host, port)
    assert (parsed.database, dict(parsed.query)) == ("dashtam_test", {})


@given(st.lists(words, min_size=1, max_size=4), st.lists(st.sampled_from("_-"), min_size=3, max_size=3))
def test_the_whole_word_rule(parts: list[str], separators: list[str]) -> None:
    name = "".join(part + separator for part, separator in zip(parts, [*separators, ""], strict=False))
    written = GOOD | {"DATABASE_URL": url(database=name)}
    if "test" in parts:
        assert read_target(written).database == name
    else:
        assert refusal(written).layer == 3


pieces = st.text(alphabet="aB1%4:@/?#&=+, ü\n", max_size=4)


@given(
    st.builds(
        url,
        user=pieces,
        password=pieces,
        hosts=st.builds(str.__add__, st.sampled_from(["h", "127.0.0.1", "[::1]", ""]), pieces),
        database=st.builds(str.__add__, pieces, st.sampled_from(["test", "_test", "-test", "test_"])),
        query=st.sampled_from(["", "", "", "?", "?a=b"]),
    )
)
def test_whatever_passes_is_read_alike_by_sqlalchemy(written: str) -> None:
    try:
        target = read_target(GOOD | {"DATABASE_URL": written})
    except RefusalError:
        return
    parsed = make_url(written)
    assert (parsed.username, parsed.password) == (target.user, target.password)
    assert (parsed.host, parsed.port or 5432) == (target.host, target.port)
    assert (parsed.database, dict(parsed.query)) == (quote(target.database, safe=""), {})


@given(st.text(max_size=12), st.text(max_size=12))
def test_only_one_value_each_passes(environment: str, testing: str) -> None:
    environ = GOOD | {"ENVIRONMENT": environment, "TESTING": testing}
    if (environment, testing) == ("testing", "true"):
        assert read_target(environ)
    else:
        assert refusal(environ).layer == (1 if environment != "testing" else 2)


@given(st.integers(1, 2**11 - 1))
def test_every_mixed_spelling_is_a_second_one(mask: int) -> None:
    other = "".join(
        letter.lower() if mask >> index & 1 else letter for index, letter in enumerate("ENVIRONMENT")
    )
    assert refusal(GOOD | {other: "testing"}).layer == 1
