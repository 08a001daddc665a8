"""Waiting for a database, against a real server."""

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from src.core.config import OwnerSettings
from src.core.database_address import DatabaseAddress
from src.core.schema.wait import DatabaseUnavailableError, wait_for_database
from src.core.test_databases import clones
from tests.services import SCRATCH


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that nobody else takes and nobody answers."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


async def test_a_database_that_is_there(settings: OwnerSettings) -> None:
    connection = await wait_for_database(settings.runtime, "APP_DATABASE_URL")
    try:
        assert await connection.fetchval("SELECT current_user") == settings.runtime.username
    finally:
        await connection.close()


async def test_a_database_that_is_made_meanwhile(settings: OwnerSettings) -> None:
    """The first answers are "does not exist"; what is done meanwhile is done once."""
    name = await clones.drop(os.environ, SCRATCH)
    done: list[str] = []
    waiting = asyncio.create_task(
        wait_for_database(
            replace(settings.owner, database=name), "DATABASE_URL", meanwhile=lambda: done.append("work")
        )
    )
    await asyncio.sleep(0.5)
    assert not waiting.done()
    try:
        await clones.clone(os.environ, SCRATCH)
        connection = await asyncio.wait_for(waiting, 10)
        assert await connection.fetchval("SELECT current_database()") == name
        await connection.close()
    finally:
        await clones.drop(os.environ, SCRATCH)
    assert done == ["work"]


async def test_a_wrong_password_is_final(settings: OwnerSettings) -> None:
    address = replace(settings.owner, password="certainly wrong")
    started = time.monotonic()
    with pytest.raises(DatabaseUnavailableError) as caught:
        await wait_for_database(address, "DATABASE_URL", password_grace=0.5)
    assert 0.5 <= time.monotonic() - started < 5
    message = str(caught.value)
    assert message.startswith(f"DATABASE_URL: {settings.owner.username} at ")
    assert "rejects this password" in message
    assert "certainly wrong" not in message
    assert "\n" not in message


async def test_a_role_that_does_not_exist_is_waited_for(settings: OwnerSettings) -> None:
    """PostgreSQL answers as for a wrong password, so this, too, takes the grace time."""
    address = replace(settings.owner, username="nobody_yet")
    started = time.monotonic()
    with pytest.raises(DatabaseUnavailableError, match="no such role"):
        await wait_for_database(address, "DATABASE_URL", password_grace=0.5)
    assert time.monotonic() - started >= 0.5


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
async def test_nobody_answers(settings: OwnerSettings, closed_port: int, host: str) -> None:
    address = DatabaseAddress("owner", "secret", host, closed_port, "dashtam")
    with pytest.raises(
        DatabaseUnavailableError, match=r"no login in 0 s, last answer: .*; is the server up\?"
    ):
        await wait_for_database(address, "DATABASE_URL", limit=0.4)
