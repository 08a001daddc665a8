"""What must hold before anything connects to a test database: layers 1 to 3, and the form of the identity.

Pure on purpose: a mapping in, a target or a refusal out, so that every clause can be tested in a table. The
mapping is the raw process environment, because typed settings accept what must be refused here (`True`
for `true`, `environment` for `ENVIRONMENT`). Nothing but the standard library is imported: no other parser
ever sees the URL, the driver receives the parts one by one.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn
from urllib.parse import parse_qsl, quote, unquote

LAYERS = {
    1: "ENVIRONMENT",
    2: "TESTING",
    3: "DATABASE_URL",
    4: "connection",
    5: "disposable mark",
    6: "identity",
}
DRIVER = "postgresql+asyncpg"
# PostgreSQL truncates longer names silently, and two databases would become one.
NAME_BYTES = 63
TEMPLATE_SUFFIX = "_template"
FORM = f"{DRIVER}://<user>:<password>@<host>:<port>/<database>, user, password and database percent-encoded"

_URL = re.compile(
    r"(?P<driver>[A-Za-z][A-Za-z0-9+.-]*)://(?P<user>[^:/?#@]+):(?P<password>[^:/?#@]+)@(?P<hosts>[^/?#@]+)"
    r"/(?P<database>[^/?#@]+)(?:\?(?P<query>[^#@]*))?"
)
_HOST = re.compile(r"(?P<host>[A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[1-9][0-9]{0,4}))?")
_IDENTITY = re.compile(r"[1-9][0-9]{0,19}:[1-9][0-9]{0,9}")
_WORKER = re.compile(r"gw(?:0|[1-9][0-9]{0,3})")


class RefusalError(Exception):
    """A layer does not hold. The message is one line and carries no password."""

    def __init__(self, layer: int, reason: str) -> None:
        super().__init__(f"refused by layer {layer} ({LAYERS[layer]}): {reason}")
        self.layer = layer


class TestDatabaseError(Exception):
    """What could not be done, in one line, with the next step."""

    # Pytest takes a class of this name for tests where it is imported.
    __test__ = False


@dataclass(frozen=True)
class Target:
    """Where the driver shall connect, and as whom."""

    user: str
    password: str = field(repr=False)
    host: str
    port: int
    database: str
    tls: bool = False
    ca_file: Path | None = None

    @property
    def where(self) -> str:
        return f"{self.database} at {self.host}:{self.port} as {self.user}"

    @property
    def template(self) -> str:
        return self.database + TEMPLATE_SUFFIX

    def worker(self, worker: str) -> str:
        """The database of pytest-xdist's worker `gw<n>`. Derived, never taken from anywhere."""
        if not _WORKER.fullmatch(worker):
            raise ValueError(f"{worker!a} is no worker of pytest-xdist: gw0, gw1, ... gw9999")
        return f"{self.database}_{worker}"

    def is_worker(self, name: str) -> bool:
        return name.startswith(f"{self.database}_") and bool(
            _WORKER.fullmatch(name.removeprefix(f"{self.database}_"))
        )


def read_target(environ: Mapping[str, str]) -> Target:
    """The target, if layers 1 to 3 hold."""
    _exactly(environ, 1, "ENVIRONMENT", "testing")
    _exactly(environ, 2, "TESTING", "true")
    target = _read_url(_only_spelling(environ, 3, "DATABASE_URL"), environ)
    if not _tls(environ):
        return target
    return replace(target, tls=True, ca_file=Path(ca) if (ca := environ.get("TLS_CA_FILE")) else None)


def read_identity(environ: Mapping[str, str]) -> str:
    """What the playbook read inside the container, `<system identifier>:<oid>`; layer 6 compares it."""
    value = _only_spelling(environ, 6, "TEST_DATABASE_IDENTITY")
    if not _IDENTITY.fullmatch(value):
        raise RefusalError(
            6,
            f"TEST_DATABASE_IDENTITY is {_shown(value)}, not <system identifier>:<oid>; "
            "playbooks/test.yml reads it inside the container and hands it over",
        )
    return value


def _exactly(environ: Mapping[str, str], layer: int, name: str, wanted: str) -> None:
    value = _only_spelling(environ, layer, name)
    if value != wanted:
        raise RefusalError(layer, f"{name} is {_shown(value)}, not exactly {wanted!r}")


def _only_spelling(environ: Mapping[str, str], layer: int, name: str) -> str:
    """The value of `name`, where no other spelling of it leaves open which of the two somebody else reads."""
    for other in sorted(environ):
        if other != name and other.strip().casefold() == name.casefold():
            raise RefusalError(layer, f"{other!a} is set, a second spelling of {name}; unset it")
    if name not in environ:
        raise RefusalError(layer, f"{name} is not set; start this through playbooks/test.yml")
    return environ[name]


def _read_url(url: str, environ: Mapping[str, str]) -> Target:
    for name in sorted(environ):
        # By prefix, not by list: libpq's variables grow with every release.
        if name.upper().startswith("PG"):
            raise RefusalError(3, f"{name!a} is set, and drivers connect by such variables; unset it")

    # Until it is certain which part is the password, no part is printed.
    if url.count("@") > 1:
        _ambiguous("has more than one '@'")
    parts = _URL.fullmatch(url)
    if not parts:
        _ambiguous("does not have the one form that cannot be misread")
    user, password, database = (unquote(parts[name]) for name in ("user", "password", "database"))
    rendered = f"{parts['driver']}://{_quote(user)}:{_quote(password)}@{parts['hosts']}/{_quote(database)}"
    if rendered + ("" if parts["query"] is None else f"?{parts['query']}") != url:
        _ambiguous("does not render back to itself")
    if not (user + password + database).isprintable():
        _ambiguous("carries a control character")

    if parts["driver"] != DRIVER:
        raise RefusalError(3, f"the driver is {_shown(parts['driver'])}, not {DRIVER!r}")
    if parts["query"] is not None:
        raise RefusalError(
            3, f"the query string sets {_keys(parts['query'])}, and the driver follows it; remove it"
        )
    host = _HOST.fullmatch(parts["hosts"])
    if not host:
        raise RefusalError(3, f"{_shown(parts['hosts'])} is not one host and port")
    port = int(host["port"] or 5432)
    if port > 65535:
        raise RefusalError(3, f"{port} is no port")
    if "test" not in re.split("[_-]", database):
        raise RefusalError(
            3,
            f"the database name {_shown(database)} does not have 'test' as a whole word "
            "between '_', '-' or the ends",
        )
    if len((database + TEMPLATE_SUFFIX).encode()) > NAME_BYTES:
        longest = NAME_BYTES - len(TEMPLATE_SUFFIX)
        raise RefusalError(3, f"the database name {_shown(database)} has more than {longest} bytes")
    return Target(user, password, host["host"].strip("[]"), port, database)


def _tls(environ: Mapping[str, str]) -> bool:
    """Whether the server speaks TLS; the URL may not say it, as it has no query string."""
    if "POSTGRES_TLS" not in environ:
        return False
    value = _only_spelling(environ, 3, "POSTGRES_TLS")
    if value not in ("true", "false"):
        raise RefusalError(3, f"POSTGRES_TLS is {_shown(value)}, not exactly 'true' or 'false'")
    return value == "true"


def _ambiguous(what: str) -> NoReturn:
    raise RefusalError(3, f"DATABASE_URL {what} (not printed, it holds a password); the form is {FORM}")


def _quote(value: str) -> str:
    # What cannot be encoded becomes '%3F', differs from the original and is refused.
    return quote(value, safe="", errors="replace")


def _keys(query: str) -> str:
    """The names that a query string sets; values stay unprinted, one of them may be a password."""
    names = sorted({name for name, _ in parse_qsl(query, keep_blank_values=True)})
    return ", ".join(_shown(name) for name in names) or "nothing"


def _shown(value: str) -> str:
    """A value for a message: on one line, short, and not at all where it could hold a URL's password."""
    if "@" in value or "://" in value:
        return "a value that looks like a URL (not printed)"
    return ascii(value if len(value) <= 80 else value[:80] + "...")
