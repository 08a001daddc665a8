"""The unit tests' own promise."""

import os
import socket

import asyncpg
import pytest
from pytest_socket import SocketBlockedError


def test_no_network() -> None:
    with pytest.raises(SocketBlockedError):
        socket.create_connection(("127.0.0.1", 9), timeout=1)


async def test_no_database() -> None:
    with pytest.raises(SocketBlockedError):
        await asyncpg.connect("postgresql://somebody:secret@127.0.0.1:5432/dashtam_test", timeout=1)


def test_no_credentials() -> None:
    assert not {"DATABASE_URL", "APP_DATABASE_URL", "REDIS_URL", "SECRET_KEY"} & os.environ.keys()
