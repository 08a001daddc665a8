"""Our servers as processes of their own, on ports of their own, with a database of the test's own."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from src.core.config import OwnerSettings, ServerSettings, load
from src.core.security.tls import client_context
from src.core.web.server import SOURCE

# Only tests that ask a server pay for its import.
if TYPE_CHECKING:
    import httpx

PATIENCE = 60


class Server:
    """A process of ours and what it has said so far."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.url = f"https://localhost:{port}"
        self.log: list[str] = []

    async def read(self, until: str) -> None:
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            while not any(until in line for line in self.log):
                line = (await self.process.stdout.readline()).decode()
                assert line, f"ended without saying {until!r}:\n{''.join(self.log)}"
                self.log.append(line)

    def environment(self) -> set[str]:
        content = Path(f"/proc/{self.process.pid}/environ").read_bytes()
        return {item.partition(b"=")[0].decode() for item in content.split(b"\0") if item}


@asynccontextmanager
async def serving(
    module: str, *arguments: str, port: int, env: dict[str, str], cwd: Path = SOURCE.parent
) -> AsyncIterator[Server]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *arguments,
        cwd=cwd,
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield Server(process, port)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(process.communicate(), PATIENCE)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def env(scratch: OwnerSettings, port: int) -> dict[str, str]:
    return dict(os.environ) | {
        "APP_PORT": str(port),
        "DATABASE_URL": scratch.database_url.get_secret_value(),
        "APP_DATABASE_URL": scratch.app_database_url.get_secret_value(),
        "POSTGRES_PASSWORD": scratch.owner.password,
        "LOG_LEVEL": "INFO",
    }


@pytest.fixture
async def http() -> "AsyncIterator[httpx.AsyncClient]":
    import httpx

    # An open connection would be waited for when a server stops.
    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(
        verify=client_context(load(ServerSettings).tls_ca_file), limits=limits
    ) as client:
        yield client


def position(log: list[str], text: str) -> int:
    return next(index for index, line in enumerate(log) if text in line)
