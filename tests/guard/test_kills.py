"""What PostgreSQL has acknowledged survives its being killed, with the durable settings of dev."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable

from docker.models.containers import Container

from tests import inside
from tests.guard.test_interrupted_initdb import Data, empty  # noqa: F401 - a fixture
from tests.verify.rounds import rounds

PSQL = ["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-U", "postgres"]


def ready(container: Container) -> None:
    deadline = time.monotonic() + 60
    while inside.run(container, ["pg_isready", "-q", "-h", "127.0.0.1"])[0]:
        assert time.monotonic() < deadline, container.logs().decode()
        time.sleep(0.1)


def query(container: Container, sql: str) -> str:
    return inside.said(container, [*PSQL, "-c", sql], user="postgres").strip()


def written_until_killed(container: Container, number: int, seconds: float) -> int:
    """Insert a row at a time, each once the one before was acknowledged; return the last acknowledged."""
    command = ["docker", "exec", "-i", "-u", "postgres", container.id, *PSQL]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdin
        assert client.stdout
        killer = threading.Timer(seconds, container.kill)
        while True:
            try:
                insert = "INSERT INTO acknowledged VALUES (%s) RETURNING number;\n"
                client.stdin.write(insert % (number + 1))
                client.stdin.flush()
            except BrokenPipeError:
                break
            if not client.stdout.readline():
                break
            number += 1
            if not killer.ident:
                killer.start()
        killer.join()
        client.kill()
    return number


def test_no_acknowledged_row_is_lost(
    empty: Data,  # noqa: F811 - the fixture, by its name
    record_property: Callable[[str, object], None],
) -> None:
    container = empty.start()
    try:
        ready(container)
        query(container, "CREATE TABLE acknowledged (number int PRIMARY KEY)")
        last, kills = 0, rounds(3, 20)
        for kill in kills:
            before, last = last, written_until_killed(container, last, 0.3 + kill % 5 / 10)
            assert last > before
            container.wait(timeout=60)
            container.start()
            ready(container)
            numbers = "SELECT count(*) FROM acknowledged WHERE number <= %s"
            assert query(container, numbers % last) == str(last)
            # The one that was under way may have been written.
            last = int(query(container, "SELECT max(number) FROM acknowledged"))
        record_property("cases", len(kills))
        record_property("rows", last)
    finally:
        container.remove(force=True)
