"""The history of runs: who ran what, how long it took and what came of it, in a file of SQLite.

Nothing in it is free text: a playbook's name, the labels of hosts, a user's name, times and numbers. So no
secret can get in. Needs nothing but Python, for those who only read.
"""

from __future__ import annotations

import json
import os
import pwd
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible_collections.dashtam.stack.plugins.module_utils import private_files

# Below the checkout, beside the reports of tests.
PLACE = Path("reports/history.sqlite")
KEPT = 1000
# Seconds to wait for another run that writes at this moment, which takes a millisecond.
PATIENCE = 0.2
PASSED, FAILED = "passed", "failed"
TABLE = """
CREATE TABLE IF NOT EXISTS runs (
  id INTEGER PRIMARY KEY, started REAL NOT NULL, seconds REAL NOT NULL, user TEXT NOT NULL,
  playbook TEXT NOT NULL, environments TEXT NOT NULL, changed INTEGER NOT NULL, result TEXT NOT NULL,
  tests TEXT NOT NULL, ready TEXT NOT NULL)
"""
# As the fields of a run, in their order.
COLUMNS = "started, seconds, user, playbook, environments, changed, result, tests, ready"


@dataclass(frozen=True)
class Run:
    """One run of a playbook."""

    started: float
    """Seconds since 1970."""
    seconds: float
    """How long it took."""
    user: str
    playbook: str
    """Its file's name, without .yml."""
    environments: list[str]
    """What it was about: the hosts' labels, such as dashtam-dev."""
    changed: int
    """Tasks that changed something."""
    result: str
    """``passed`` or ``failed``."""
    tests: dict[str, int]
    """How many tests ``passed``, ``failed`` and were ``skipped``; empty if none ran."""
    ready: dict[str, float]
    """Containers that were started, to the seconds until each was ready."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as data for JSON, with ``started`` in ISO 8601."""
        moment = datetime.fromtimestamp(self.started, UTC)
        return asdict(self) | {"started": moment.isoformat(timespec="seconds").replace("+00:00", "Z")}


def user() -> str:
    """Return the name of whoever runs this, also behind sudo; a number where there is no name."""
    number = int(os.environ.get("SUDO_UID") or 0) if os.getuid() == 0 else os.getuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _create(file: Path) -> None:
    """Make the file, readable by its owner alone from the first byte on; one run at a time."""
    private_files.make_parents(file.parent)
    with private_files.locked(file.parent):
        if file.exists():
            return
        new = file.with_name(f".{file.name}.new")
        new.unlink(missing_ok=True)
        os.close(os.open(new, os.O_CREAT | os.O_WRONLY, private_files.PRIVATE_FILE))
        with closing(sqlite3.connect(new, isolation_level=None)) as connection:
            # Readers and a writer do not wait for each other (https://www.sqlite.org/wal.html). The file
            # remembers it; where a file system cannot do it, SQLite stays with its journal.
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(TABLE)
        private_files.give_to_owner_of(file.parent, new)
        new.replace(file)


@contextmanager
def _connected(file: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(file, timeout=PATIENCE, isolation_level=None)) as connection:
        yield connection


def record(file: Path, run: Run) -> None:
    """Add a run, and forget those before the last thousand.

    :raises OSError: the file cannot be made.
    :raises sqlite3.Error: it cannot be written, or it is no such file.
    """
    if not file.exists():
        _create(file)
    values = [
        value if isinstance(value, int | float | str) else json.dumps(value) for value in asdict(run).values()
    ]
    with _connected(file) as connection:
        # In WAL mode that costs no wait for the disk, and a loss of power the last runs at most.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("BEGIN IMMEDIATE")
        added = connection.execute(f"INSERT INTO runs ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)  # noqa: S608 - our own names
        connection.execute("DELETE FROM runs WHERE id <= ?", [(added.lastrowid or 0) - KEPT])
        connection.execute("COMMIT")


def read(file: Path, count: int = KEPT) -> list[Run]:
    """Return the last runs, the newest first; none if there is no file yet.

    :raises sqlite3.Error: it cannot be read, or it is no such file.
    """
    if not file.exists():
        return []
    with _connected(file) as connection:
        found = connection.execute(f"SELECT {COLUMNS} FROM runs ORDER BY id DESC LIMIT ?", [count])  # noqa: S608 - our own names
        rows = [
            [*row[:4], json.loads(row[4]), *row[5:7], json.loads(row[7]), json.loads(row[8])] for row in found
        ]
    return [Run(*row) for row in rows]
