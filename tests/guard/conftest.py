import asyncio
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.guard.scratch import FAST, MARK, Database, Init, Pooler, Server, servers


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A server whose every session sees the mark as a setting, which must count for nothing."""
    yield from servers(FAST | {MARK: "on"})


@pytest.fixture(scope="session")
def other_server() -> Iterator[Server]:
    """A second one, with the durable settings of a server that is not for tests."""
    yield from servers({})


@pytest.fixture(scope="session")
def database(server: Server) -> Database:
    """Marked, owned, named well: every layer lets it pass. For tests that leave it as it is."""
    return server.prepare("dashtam_test")


@pytest.fixture
def scratch(server: Server) -> Iterator[Database]:
    """As `database`, for one test that changes it."""
    made = server.prepare(f"scratch_{secrets.token_hex(4)}_test")
    yield made
    for name in server.databases():
        if name.startswith(made.name):
            server.sql(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def pooler(server: Server) -> Iterator[Callable[[dict[str, str]], Pooler]]:
    started: list[Pooler] = []

    def start(names: dict[str, str]) -> Pooler:
        started.append(Pooler(server, names))
        return started[-1]

    yield start
    for one in started:
        one.shutdown()
        one.server_close()


@pytest.fixture
def init(tmp_path: Path) -> Init:
    return Init(tmp_path)


@pytest.fixture
def loop() -> Iterator[asyncio.Runner]:
    """For sessions that stay open while the initialisation runs."""
    with asyncio.Runner() as runner:
        yield runner
