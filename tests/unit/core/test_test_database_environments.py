"""2,000 generated environments against an oracle that reads no URL: it knows which parts were made wrong.

The same ones each time. An accepted environment must name the same database for the whole initialisation: the
guard's driver, the settings and SQLAlchemy.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote

import pytest

from src.core.database import sqlalchemy_url
from src.core.database_address import DatabaseAddress
from src.core.test_databases.policy import RefusalError, Target, read_target

SEED = 9016
COUNT = 2000
# Of each part that can be wrong, so that about half of the environments have no fault at all.
FAULTY = 0.08

ENVIRONMENTS = [
    "",
    "test",
    "Testing",
    "TESTING",
    " testing",
    "testing ",
    "testing\n",
    "development",
    "production",
]
TESTINGS = ["", "True", "TRUE", " true", "true ", "1", "yes", "on", "false"]
WORDS = [
    "test",
    "dashtam",
    "x",
    "latest",
    "testing",
    "Test",
    "te st",
    "ü",
    "50%",
    "a/b",
    "a?b",
    "a#b",
    "a@b",
    "a:b",
    "+",
]
CREDENTIALS = ["owner", "test", "s3cret", "% @:/#$'\" ", "ünï", "a+b", "%41", "a@b", "a/b?c#d", "\\", "[x]"]
HOSTS = ["postgres", "127.0.0.1", "db-1.internal", "a_b", "[::1]"]


@dataclass
class Generated:
    """An environment, and what is wrong with it: the layers that must refuse."""

    rng: random.Random
    environ: dict[str, str] = field(default_factory=dict)
    faults: set[int] = field(default_factory=set)

    def wrong(self, layer: int) -> bool:
        if self.rng.random() >= FAULTY:
            return False
        self.faults.add(layer)
        return True


def database_name(made: Generated) -> str:
    wrong = made.wrong(3)
    words = made.rng.choices(WORDS[1:], k=made.rng.randint(1, 3))
    if not wrong:
        words.insert(made.rng.randrange(len(words) + 1), "test")
    name = words[0] + "".join(made.rng.choice("_-") + word for word in words[1:])
    if made.wrong(3):
        name += "_" + "ü" * 40
    return name


# What makes a correct URL one that some parser reads differently.
BREAKAGES: list[Callable[[str], str]] = [
    lambda url: url + "?database=dashtam",
    lambda url: url + "?",
    lambda url: url + "#dashtam",
    lambda url: url + "/dashtam",
    lambda url: url + "\n",
    lambda url: " " + url,
    lambda url: url.replace("@", "@other@"),
    lambda url: url.replace("postgresql+asyncpg", "postgresql"),
    lambda url: url.replace("postgresql", "PostgreSQL"),
    lambda url: url.replace("://", ":"),
    lambda url: url + "%00",
    lambda url: url + "%c3%bc",
    lambda url: url + "%41",
    lambda url: url + "%",
    lambda url: url + " ",
    lambda url: url.replace("@", ",h@").replace(",h@", "@h,"),
]


def generate(rng: random.Random) -> tuple[Generated, Target]:
    made = Generated(rng)
    database = database_name(made)
    user, password, host = rng.choice(CREDENTIALS), rng.choice(CREDENTIALS), rng.choice(HOSTS)
    port = rng.choice([None, 1, 5432, 65535])
    written = "" if port is None else f":{port}"
    if made.wrong(3):
        written = rng.choice([":", ":0", ":05432", ":65536", ":x", ":5432,other:5432"])
    encoded = [quote(part, safe="") for part in (user, password, database)]
    url = "postgresql+asyncpg://{}:{}@{}/{}".format(*encoded[:2], host + written, encoded[2])
    if made.wrong(3):
        url = rng.choice(BREAKAGES)(url)
    made.environ = {
        "ENVIRONMENT": rng.choice(ENVIRONMENTS) if made.wrong(1) else "testing",
        "TESTING": rng.choice(TESTINGS) if made.wrong(2) else "true",
        "DATABASE_URL": url,
        "LOG_LEVEL": "INFO",
        "POSTGRES_DB": "dashtam",
    }
    for layer, name in ((1, "ENVIRONMENT"), (2, "TESTING"), (3, "DATABASE_URL")):
        if made.wrong(layer):
            made.environ[rng.choice([name.lower(), f" {name}", name.title()])] = made.environ[name]
        if made.wrong(layer):
            del made.environ[name]
    if made.wrong(3):
        made.environ[rng.choice(["PGDATABASE", "PGHOST", "PGOPTIONS", "pgservice", "PGNEW"])] = "dashtam"
    return made, Target(user, password, host.strip("[]"), port or 5432, database)


def judged(environ: dict[str, str]) -> tuple[int | None, Target | None]:
    try:
        return None, read_target(environ)
    except RefusalError as refusal:
        return refusal.layer, None


@pytest.fixture(scope="module")
def environments() -> list[tuple[Generated, Target]]:
    rng = random.Random(SEED)  # noqa: S311 - the same environments each time
    return [generate(rng) for _ in range(COUNT)]


def test_no_wrong_accept_and_no_wrong_refusal(
    environments: list[tuple[Generated, Target]], record_property: Callable[[str, object], None]
) -> None:
    record_property("cases", len(environments))
    accepted = 0
    for made, target in environments:
        expected = (min(made.faults), None) if made.faults else (None, target)
        assert judged(made.environ) == expected, made.environ
        accepted += not made.faults
    # Neither side of the comparison is empty.
    assert COUNT / 4 < accepted < COUNT * 3 / 4


def test_what_is_accepted_is_the_same_database_for_everybody(
    environments: list[tuple[Generated, Target]],
) -> None:
    for made, target in environments:
        if not made.faults:
            address = DatabaseAddress.parse(made.environ["DATABASE_URL"])
            same = (target.user, target.password, target.host, target.port, target.database)
            assert (address.username, address.password, address.host, address.port, address.database) == same
            url = sqlalchemy_url(address)
            assert (url.username, url.password, url.host, url.port, url.database) == same
