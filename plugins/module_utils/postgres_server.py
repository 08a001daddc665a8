"""A PostgreSQL server in a container, reached by the programs that are beside it."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Any

from ansible_collections.dashtam.stack.plugins.module_utils import engine
from ansible_collections.dashtam.stack.plugins.module_utils.local_action import Problem

IDENTIFIER = r'(?:"(?:[^"]|"")+"|[^". (]+)'
COPY = re.compile(rf"COPY ({IDENTIFIER}\.{IDENTIFIER}) \(.*\) FROM stdin;$".encode())
END_OF_COPY = b"\\.\n"


def quoted(name: str) -> str:
    """Return an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def reason(output: str) -> str:
    """Return what a PostgreSQL program says went wrong: its first error, else its last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r"\b(error|ERROR|FATAL):", line)]
    return [*errors[:1], *lines[-1:], ""][0]


class Server:
    """The server in a running container. All its methods raise Problem with the reason of a failure.

    Without a password it is reached as the administrator, over the socket.
    """

    def __init__(self, container: str, role: str = "postgres", password: str = "") -> None:
        self.container = container
        self.password = password
        self.login = ["-U", role, *(["-h", "127.0.0.1", "-w"] if password else [])]

    @contextmanager
    def _start(self, command: list[str], source: IO[bytes] | None, output: Any) -> Iterator[Any]:
        """Start a command as `postgres`, fed with a file from its beginning; wait for its end.

        The docker client copies streams of any length and ends the input where the file ends.
        """
        stdin = ["--interactive"] if source else []
        # By name, so that no list of processes shows the value.
        client = ["docker", "exec", *stdin, "--user=postgres", "--env=PGPASSWORD", self.container]
        if source is not None:
            os.lseek(source.fileno(), 0, os.SEEK_SET)
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(  # noqa: S603 - our own commands
                [*client, *command],
                stdin=source or subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env=os.environ | engine.address().environment | {"PGPASSWORD": self.password},
            )
            try:
                yield process.stdout
                process.wait()
            finally:
                process.kill()
                process.communicate()
            if process.returncode:
                errors.seek(0)
                said = errors.read().decode(errors="replace")
                if "No such container" in said:
                    raise Problem(f"there is no container {self.container}: start the environment first")
                raise Problem(reason(said) or f"{command[0]} ended with {process.returncode}")

    def run(self, command: list[str], source: IO[bytes] | None = None) -> str:
        """Run a command and return what it prints."""
        with self._start(command, source, subprocess.PIPE) as output:
            said: str = output.read().decode(errors="replace")
        return said

    def dump(self, database: str, target: IO[bytes]) -> None:
        """Write a dump in pg_dump's custom format."""
        # The level costs more than it saves; by name, another method is known from pg_dump 16 on alone.
        command = ["pg_dump", *self.login, "-Fc", "-Z1", "--lock-wait-timeout=30s", "-d", database]
        with self._start(command, None, target):
            pass

    def export(self, database: str, target: IO[bytes]) -> None:
        """Write the database as SQL, without owners and privileges."""
        options = ["--no-owner", "--no-privileges", "--lock-wait-timeout=30s"]
        with self._start(["pg_dump", *self.login, *options, "-d", database], None, target):
            pass

    def restore(self, database: str, dump: IO[bytes], *options: str) -> None:
        """Run a dump in a database; all that it makes belongs to the role that is logged in."""
        self.run(["pg_restore", *self.login, "--no-owner", "--exit-on-error", *options, "-d", database], dump)

    def run_script(self, database: str, script: IO[bytes]) -> list[str]:
        """Run all statements of a script, whatever fails; return what psql says of those that did."""
        psql = ["psql", "-qAtX", "-o", "/dev/null", *self.login, "-d", database, "-f", "-"]
        said = self.run(["sh", "-c", 'exec "$@" 2>&1', "sh", *psql], script)
        return [line for line in said.splitlines() if re.search(r"\b(?:ERROR|FATAL|error):", line)]

    def rows_in(self, dump: IO[bytes]) -> dict[str, int]:
        """Read a dump to its end; return the number of rows that it holds for each table."""
        rows: dict[str, int] = {}
        table = None
        with self._start(["pg_restore", "--data-only", "-f", "-"], dump, subprocess.PIPE) as output:
            for line in output:
                if table is None:
                    if match := COPY.match(line):
                        table = match[1].decode()
                        rows[table] = 0
                elif line == END_OF_COPY:
                    table = None
                else:
                    rows[table] += 1
        return rows

    def rows_of(self, database: str, tables: Iterable[str]) -> dict[str, int]:
        """Return the number of rows that the tables have now; their names as pg_dump writes them."""
        counts = [f"SELECT count(*) FROM {table}" for table in tables]  # noqa: S608 - names quoted by pg_dump itself
        return dict(zip(tables, map(int, self.sql(database, *counts).split()), strict=True)) if counts else {}

    def sql(self, database: str, *statements: str) -> str:
        """Run statements, each in its own transaction, and return what they print."""
        return self._psql(database, [part for statement in statements for part in ("-c", statement)])

    def query(self, database: str, script: str, **variables: str) -> str:
        """Run a script that uses psql's variables, and return what it prints."""
        options = [part for name, value in variables.items() for part in ("-v", f"{name}={value}")]
        with tempfile.TemporaryFile(buffering=0) as source:
            source.write(script.encode())
            return self._psql(database, [*options, "-f", "-"], source)

    def _psql(self, database: str, arguments: list[str], source: IO[bytes] | None = None) -> str:
        psql = ["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", *self.login, "-d", database]
        return self.run([*psql, *arguments], source)

    def has(self, database: str) -> bool:
        """Say whether there is a database of this name."""
        query = "SELECT 1 FROM pg_database WHERE datname = :'name';"
        return self.query("postgres", query, name=database).strip() == "1"

    def drop(self, database: str) -> None:
        """Drop a database, if there is one of this name."""
        self.sql("postgres", f"DROP DATABASE IF EXISTS {quoted(database)} WITH (FORCE)")
