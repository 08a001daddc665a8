"""PostgreSQL takes the passwords that the env file's rule accepts, and the app logs in with them."""

import asyncio
import secrets

import pytest

from src.core.database_address import DatabaseAddress
from src.core.schema.wait import wait_for_database
from tests.by_path import load
from tests.guard.scratch import Server

quoting = load("plugins/filter/dotenv_value.py")


@pytest.mark.parametrize(
    "password",
    [
        " leading and trailing ",
        'it\'s "$HOME" \\ `id` ${x} %41 #',
        "{{ lookup('env', 'HOME') }} {% raw %}",
        "\\'; DROP ROLE postgres; --",
        "ä ß € 漢 😀 🔑",
        # SASLprep composes it; both sides must.
        "e\u0301 \u212b \ufb01",
        "%2F/%%@:?&=+~",
    ],
)
def test_the_owner_logs_in_with_it(server: Server, password: str) -> None:
    assert quoting.dotenv_refused({"POSTGRES_PASSWORD": password}) == []
    owner = f"owner_{secrets.token_hex(4)}"
    made = server.prepare(f"{owner}_test", owner=owner, password=password)
    address = DatabaseAddress.parse(made.url())
    assert address.password == password

    async def who() -> str:
        connection = await wait_for_database(address, "DATABASE_URL")
        try:
            return str(await connection.fetchval("SELECT current_user"))
        finally:
            await connection.close()

    assert asyncio.run(who()) == owner
    server.sql(f'DROP DATABASE "{made.name}" WITH (FORCE)')
    server.sql(f'DROP DATABASE "{made.name}_gw0" WITH (FORCE)')
