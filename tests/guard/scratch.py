"""Scratch PostgreSQL servers, set up by the postgres role's own SQL, to run the test initialisation against.

Each runs the project's image on tmpfs, under an instance name of this run alone, published on a random port
of 127.0.0.1, and ends by itself should this process be killed.
"""

import asyncio
import contextlib
import os
import re
import secrets
import socket
import socketserver
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

import asyncpg
import docker
from docker.models.containers import Container

from src.models import metadata
from tests import inside
from tests.by_path import ROOT

ROLE = ROOT / "roles" / "postgres" / "files"
MARK = "dashtam.disposable"
ADMINISTRATOR = "scratch_administrator"
PGDATA = "/var/lib/postgresql/data"
HBA = "local all postgres peer\nhost all all all scram-sha-256\n"
# The role's; with them, the image copies a cluster.
INITDB = (
    "-k --encoding=UTF8 --locale-provider=builtin --builtin-locale=C.UTF-8 --locale=C"
    " --auth-local=peer --auth-host=scram-sha-256"
)
LIFETIME = 1800
LABELS = {"dashtam.environment": "guard", "dashtam.checkout": str(ROOT)}
FAST = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
AWKWARD = "% @:/#$'\" "

PRECIOUS = "SET ROLE OWNER; CREATE TABLE public.precious (id int); INSERT INTO public.precious VALUES (1)"
# Changes with any statement that changes anything: each row's xmin is the transaction that wrote it.
FINGERPRINT = """
    SELECT md5(string_agg(line, E'\\n' ORDER BY line)) FROM (
        SELECT 'class ' || oid || relname || relfilenode || xmin || coalesce(relacl::text, '') FROM pg_class
        UNION ALL SELECT 'attribute ' || attrelid || attname || xmin FROM pg_attribute
        UNION ALL SELECT 'schema ' || oid || nspname || xmin || coalesce(nspacl::text, '') FROM pg_namespace
        UNION ALL SELECT 'extension ' || oid || extname || xmin FROM pg_extension
        UNION ALL SELECT 'function ' || oid || xmin FROM pg_proc
        UNION ALL SELECT 'database ' || oid || datname || xmin || coalesce(datacl::text, '') FROM pg_database
        UNION ALL SELECT 'setting ' || setdatabase || setrole || setconfig::text FROM pg_db_role_setting
        UNION ALL SELECT 'role ' || oid || xmin FROM pg_authid
        UNION ALL SELECT 'row ' || ctid || xmin || id FROM public.precious
    ) AS lines (line)
"""

RELATIONS = """
    SELECT nspname || '.' || relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND nspname !~ '^pg_' AND nspname <> 'information_schema'
    ORDER BY 1
"""


@dataclass(frozen=True)
class Run:
    """What one call of the initialisation did."""

    code: int
    out: str
    err: str
    seconds: float


@dataclass
class Server:
    """One scratch server; `host` and `port` reach it from here."""

    container: Container
    port: int
    password: str = field(default_factory=lambda: AWKWARD + secrets.token_hex(8))
    host: str = "127.0.0.1"

    @property
    def quoted_password(self) -> str:
        return "'" + self.password.replace("'", "''") + "'"

    def sql(self, statements: str, database: str = "postgres") -> str:
        """Run statements as an administrator; the rows of a query come back as psql would print them."""

        async def run() -> str:
            connection = await asyncpg.connect(
                host=self.host,
                port=self.port,
                user=ADMINISTRATOR,
                password=self.password,
                database=database,
                ssl=False,
            )
            try:
                if not statements.lstrip().startswith(("SELECT", "SHOW", "TABLE")):
                    await connection.execute(statements)
                    return ""
                rows = await connection.fetch(statements)
                return "\n".join("|".join(map(str, row.values())) for row in rows)
            finally:
                await connection.close()

        # In a thread of its own, because a test may be inside a loop already.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, run()).result()

    def databases(self) -> list[str]:
        return self.sql("SELECT datname FROM pg_database ORDER BY 1").split("\n")

    def prepare(
        self, database: str, *, owner: str = "scratch_owner", password: str = "", disposable: bool = True
    ) -> "Database":
        """Roles, database, privileges and mark as the postgres role makes them.

        It gets what a refusal must leave alone: a row that is precious and a worker's database.
        """
        made = Database(self, database, owner, password or self.password)
        variables = {
            "DATABASE": database,
            "OWNER": made.user,
            "OWNER_PASSWORD": made.password,
            "RUNTIME": made.runtime,
            "RUNTIME_PASSWORD": self.password,
            "DISPOSABLE": str(disposable).lower(),
            "MARK": MARK,
            "APPLY": "true",
        }
        script, sql = ((ROLE / name).read_text() for name in ("databases.sh", "databases.sql"))
        self.exec(["sh", "-c", script, "databases", sql], variables)
        self.sql(PRECIOUS.replace("OWNER", f'"{owner}"'), database)
        self.sql(f'CREATE DATABASE "{database}_gw0" OWNER "{owner}"')
        return made

    def exec(self, command: list[str], environment: dict[str, str]) -> None:
        """Run a command inside, as the user whom PostgreSQL takes for its administrator."""
        inside.said(self.container, command, "postgres", environment)


@dataclass
class Database:
    """One database on a scratch server, and its owner."""

    server: Server
    name: str
    user: str
    password: str
    runtime: str = "scratch_app"

    def url(self, **parts: object) -> str:
        """DATABASE_URL; single parts can be replaced, and are then taken as they are."""
        usual: dict[str, object] = {
            "driver": "postgresql+asyncpg",
            "user": quote(self.user, safe=""),
            "password": quote(self.password, safe=""),
            "hosts": f"{self.server.host}:{self.server.port}",
            "database": quote(self.name, safe=""),
            "query": "",
        }
        return "{driver}://{user}:{password}@{hosts}/{database}{query}".format(**usual | parts)

    @cached_property
    def identity(self) -> str:
        """What the playbook reads inside the container."""
        return self.server.sql(
            "SELECT system_identifier || ':' || oid FROM pg_control_system(), pg_database "
            "WHERE datname = current_database()",
            self.name,
        )

    @property
    def environ(self) -> dict[str, str]:
        """An environment in which every layer holds."""
        return {
            "PATH": os.environ["PATH"],
            "ENVIRONMENT": "testing",
            "TESTING": "true",
            "DATABASE_URL": self.url(),
            "APP_DATABASE_URL": self.url(user=self.runtime, password=quote(self.server.password, safe="")),
            "TEST_DATABASE_IDENTITY": self.identity,
        }

    def sql(self, sql: str) -> str:
        return self.server.sql(sql, self.name)

    def fingerprint(self) -> str:
        return self.sql(FINGERPRINT)

    def schema(self) -> str:
        """`new` where exactly our tables are there, otherwise what is."""
        found = self.sql(RELATIONS).split("\n")
        ours = [f"public.{name}" for name in sorted(["alembic_version", *metadata.tables])]
        return "new" if found == ours else ", ".join(found)

    async def connect(self, user: str = "", database: str = "") -> asyncpg.Connection:
        return await asyncpg.connect(
            host=self.server.host,
            port=self.server.port,
            user=user or self.user,
            password=self.password if user in ("", self.user) else self.server.password,
            database=database or self.name,
            ssl=False,
            server_settings={"application_name": "somebody"},
        )


class Pooler(socketserver.ThreadingTCPServer):
    """Stands between, as a connection pooler does, and connects to other names than the client asks for."""

    daemon_threads = True

    def __init__(self, server: Server, names: dict[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), _Pooled)
        self.server = server
        self.names = names
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def hosts(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class _Pooled(socketserver.BaseRequestHandler):
    server: Pooler

    def handle(self) -> None:
        with socket.create_connection((self.server.server.host, self.server.server.port)) as upstream:
            (length,) = struct.unpack("!I", self.request.recv(4, socket.MSG_WAITALL))
            startup: bytes = self.request.recv(length - 4, socket.MSG_WAITALL)
            for asked, given in self.server.names.items():
                startup = startup.replace(f"\0{asked}\0".encode(), f"\0{given}\0".encode())
            upstream.sendall(struct.pack("!I", len(startup) + 4) + startup)
            answers = threading.Thread(target=self._pump, args=(upstream, self.request))
            answers.start()
            self._pump(self.request, upstream)
            answers.join()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


class Init:
    """Calls `python -m src.core.init_test_db` with exactly the environment given."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def start(self, environ: dict[str, str], *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "src.core.init_test_db", *arguments],
            cwd=ROOT,
            env={"HOME": str(self.home)} | environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, environ: dict[str, str], *arguments: str) -> Run:
        begun = time.monotonic()
        process = self.start(environ, *arguments)
        out, err = process.communicate(timeout=60)
        return Run(process.returncode, out, err, time.monotonic() - begun)

    def refused(self, layer: int, database: Database, environ: dict[str, str]) -> str:
        """The one line of a refusal by that layer, which has changed nothing and shown no password."""
        before = database.fingerprint()
        run = self(environ)
        assert run.code == 3, run.err
        assert run.out == ""
        assert run.err.count("\n") == 1, run.err
        assert run.err.startswith(f"init_test_db: refused by layer {layer} ("), run.err
        for password in (database.password, database.server.password):
            assert password not in run.err
            assert quote(password, safe="") not in run.err
        assert database.fingerprint() == before
        return run.err


def _image(engine: docker.DockerClient) -> str:
    """The image that the project's own postgres containers run, or else the newest that they could."""
    if chosen := os.environ.get("GUARD_POSTGRES_IMAGE"):
        return chosen
    ours = engine.containers.list(all=True, filters={"label": "dashtam.service=postgres"})
    found = [(str(one.attrs["Created"]), str(one.attrs["Image"])) for one in ours] or [
        (str(one.attrs["Created"]), str(one.id))
        for one in engine.images.list()
        if any(re.search("(^|/)postgres:", tag) for tag in one.tags)
    ]
    assert found, "no postgres image to run these tests with; run make test-up first"
    return max(found)[1]


def _start(engine: docker.DockerClient, instance: str, settings: dict[str, str]) -> Server:
    flags = [f"-c{name}={value}" for name, value in settings.items()]
    container = engine.containers.run(
        _image(engine),
        # `timeout` ends what a killed pytest leaves; the next one removes it.
        [
            "sh",
            "-c",
            f'printf %s "$HBA" > /etc/scratch-hba.conf && exec timeout {LIFETIME} '
            'docker-entrypoint.sh postgres "$@"',
            "postgres",
            "-chba_file=/etc/scratch-hba.conf",
            *flags,
        ],
        detach=True,
        environment={
            "HBA": HBA,
            "POSTGRES_HOST_AUTH_METHOD": "trust",
            "POSTGRES_INITDB_ARGS": INITDB,
            "PGDATA": PGDATA,
        },
        labels={"dashtam.instance": instance, "dashtam.service": "scratch"} | LABELS,
        name=f"{instance}-postgres-{secrets.token_hex(2)}",
        ports={"5432/tcp": ("127.0.0.1", None)},
        tmpfs={PGDATA: "size=1G,mode=0700"},
    )
    try:
        deadline = time.monotonic() + 60
        while inside.run(container, ["pg_isready", "-q", "-h", "127.0.0.1"])[0]:
            container.reload()
            still = container.status == "running" and time.monotonic() < deadline
            assert still, container.logs(tail=20).decode()
            time.sleep(0.1)
        container.reload()
        server = Server(container, int(container.ports["5432/tcp"][0]["HostPort"]))
        # The project's own servers have no such role; asking over the socket costs these tests minutes.
        create = f"CREATE ROLE {ADMINISTRATOR} SUPERUSER LOGIN PASSWORD {server.quoted_password}"
        server.exec(["psql", "-XqU", "postgres", "-c", create], {})
        return server
    except BaseException:
        container.remove(force=True)
        raise


def servers(settings: dict[str, str]) -> Iterator[Server]:
    engine = docker.from_env()
    labels = [f"{name}={value}" for name, value in LABELS.items()]
    for left in engine.containers.list(all=True, filters={"label": labels, "status": "exited"}):
        # Another worker of pytest-xdist may be faster.
        with contextlib.suppress(docker.errors.NotFound):
            left.remove()
    server = _start(engine, f"guard-{secrets.token_hex(4)}", {"autovacuum": "off"} | settings)
    yield server
    server.container.remove(force=True)
    engine.close()
