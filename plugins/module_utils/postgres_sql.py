"""SQL that another server's pg_dump has written, run by a role that can do nothing else.

Backslash commands are psql's own, and one of them runs programs. So psql is told to refuse them
(https://www.postgresql.org/docs/17/app-psql.html, \\restrict, since 17.6); pg_dump's own two lines for that
are left out. What the file says of roles that this server lacks fails, and only that may.
"""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import IO

from ansible_collections.dashtam.stack.plugins.module_utils.local_action import Problem
from ansible_collections.dashtam.stack.plugins.module_utils.postgres_server import (
    COPY,
    END_OF_COPY,
    Server,
)

RESTRICTION = re.compile(rb"\\(?:un)?restrict [A-Za-z0-9]+$")
EXTENSION = re.compile(rb'CREATE EXTENSION (?:IF NOT EXISTS )?"?([A-Za-z0-9_-]+)"?')
# Owners, privileges and comments of another server: here, all belongs to one role.
OF_ANOTHER_SERVER = re.compile(
    r'ERROR: +(?:role ".*" does not exist|must be able to SET ROLE ".*"|must be owner of extension .*)$'
)


def prepare(path: Path, source: IO[bytes], target: IO[bytes]) -> tuple[dict[str, int], list[str]]:
    """Copy a script, restricted; return the rows of each table that it holds as COPY, and its extensions.

    Raises Problem if it is no SQL text.
    """
    rows: dict[str, int] = {}
    extensions: list[str] = []
    table = None
    statements = False
    target.write(b"\\restrict %s\n" % secrets.token_hex(16).encode())
    with open(source.fileno(), "rb", closefd=False) as lines:
        for line in lines:
            if b"\0" in line:
                raise Problem(f"{path} is neither SQL nor a dump in pg_dump's custom format")
            if table is not None:
                if line == END_OF_COPY:
                    table = None
                else:
                    rows[table] += 1
            elif RESTRICTION.match(line.rstrip()):
                continue
            elif match := COPY.match(line):
                table = match[1].decode()
                rows[table] = 0
            elif match := EXTENSION.match(line):
                extensions.append(match[1].decode())
            statements = statements or line.rstrip().endswith(b";")
            target.write(line)
    target.flush()
    if table is not None:
        raise Problem(f"{path} ends in the middle of the rows of {table}; take another dump")
    if not statements:
        raise Problem(f"{path} is neither SQL nor a dump in pg_dump's custom format")
    return rows, extensions


def run(server: Server, database: str, script: IO[bytes]) -> None:
    """Run a prepared script. Raises Problem with the first error that is not about another server's roles."""
    errors = [line for line in server.run_script(database, script) if not OF_ANOTHER_SERVER.search(line)]
    if errors:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise Problem(f"{errors[0].removeprefix('psql:<stdin>:')}{more}")
