"""Keys are changed on rows that are really committed, in a database that nobody else uses."""

import asyncio
import base64
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator

import asyncpg
import pytest
from asyncpg import Connection

from src.core.config import ConfigurationError, OwnerSettings
from src.core.security.encrypted_rows import COLUMNS, TABLE, require_keys, rows_by_key
from src.core.security.encryption import Keyring
from src.core.security.rotate_encryption_keys import Rotation
from src.core.web.server import SOURCE

PATIENCE = 60


def new_key() -> str:
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


OLD, NEW = new_key(), new_key()
old, both, new = (Keyring.parse(value) for value in (OLD, f"{NEW},{OLD}", NEW))


async def connect(settings: OwnerSettings) -> Connection:
    address = settings.runtime
    return await asyncpg.connect(
        host=address.host,
        port=address.port,
        user=address.username,
        password=address.password,
        database=address.database,
        ssl=address.tls,
    )


@pytest.fixture
async def connection(scratch: OwnerSettings) -> AsyncIterator[Connection]:
    connection = await connect(scratch)
    yield connection
    await connection.close()


@pytest.fixture
async def other(scratch: OwnerSettings) -> AsyncIterator[Connection]:
    connection = await connect(scratch)
    yield connection
    await connection.close()


async def add(connection: Connection, keyring: Keyring, count: int) -> list[uuid.UUID]:
    """Rows as the app makes them: some providers give no refresh token, most no id token."""
    user = await connection.fetchval(
        "INSERT INTO users (email, password_hash, name) VALUES ($1, '', '') RETURNING id",
        f"{uuid.uuid4().hex}@example.org",
    )
    ids = []
    for number in range(count):
        provider = await connection.fetchval(
            "INSERT INTO providers (user_id, provider_key, alias) VALUES ($1, 'schwab', $2) RETURNING id",
            user,
            f"account {number}",
        )
        owner = await connection.fetchval(
            "INSERT INTO provider_connections (provider_id) VALUES ($1) RETURNING id", provider
        )
        row_id = uuid.uuid4()
        absent = {0: (), 1: COLUMNS[1:], 2: COLUMNS[2:]}[number % 3]
        values = [None if column in absent else sealed(keyring, row_id, column) for column in COLUMNS]
        await connection.execute(
            """
            INSERT INTO provider_tokens (id, connection_id, key_id, expires_at, access_token_encrypted,
                refresh_token_encrypted, id_token_encrypted)
            VALUES ($1, $2, $3, now(), $4, $5, $6)
            """,
            row_id,
            owner,
            keyring.primary_id,
            *values,
        )
        ids.append(row_id)
    return ids


def sealed(keyring: Keyring, row_id: uuid.UUID, column: str, text: str = "original") -> bytes:
    return keyring.encrypt(f"{text} {column} {row_id}", table=TABLE, column=column, row_id=row_id)


async def opened(connection: Connection, keyring: Keyring) -> dict[uuid.UUID, list[str | None]]:
    return {
        row["id"]: [
            row[column] and keyring.decrypt(row[column], table=TABLE, column=column, row_id=row["id"])
            for column in COLUMNS
        ]
        for row in await connection.fetch("SELECT * FROM provider_tokens")
    }


async def stored(connection: Connection) -> list[asyncpg.Record]:
    rows: list[asyncpg.Record] = await connection.fetch("SELECT * FROM provider_tokens ORDER BY id")
    return rows


async def test_every_row_is_readable_with_the_new_key_alone(connection: Connection) -> None:
    ids = await add(connection, old, 25)
    before = await opened(connection, old)
    rotation = Rotation(connection, both, batch=10)
    assert await rotation.run() == 0
    assert rotation.done == 25
    assert await opened(connection, new) == before
    assert set(before) == set(ids)
    assert await rows_by_key(connection) == {new.primary_id: 25}
    assert {row["key_id"] for row in await stored(connection)} == {new.primary_id}
    assert all(row["updated_at"] == row["created_at"] for row in await stored(connection))


async def test_a_second_run_changes_nothing(connection: Connection) -> None:
    await add(connection, old, 5)
    await Rotation(connection, both).run()
    before = await stored(connection)
    again = Rotation(connection, both)
    assert await again.run() == 0
    assert again.done == 0
    assert await stored(connection) == before


async def test_a_row_under_two_keys_is_found_by_each(connection: Connection) -> None:
    """As a process that has only the old key would leave it: what the row says of itself is not believed."""
    (row_id,) = await add(connection, old, 1)
    await connection.execute(
        "UPDATE provider_tokens SET access_token_encrypted = $2, key_id = $3 WHERE id = $1",
        row_id,
        sealed(new, row_id, COLUMNS[0]),
        new.primary_id,
    )
    assert await rows_by_key(connection) == {old.primary_id: 1, new.primary_id: 1}
    assert await Rotation(connection, both).run() == 0
    assert await rows_by_key(connection) == {new.primary_id: 1}


async def test_two_at_once_share_the_work(connection: Connection, other: Connection) -> None:
    await add(connection, old, 40)
    before = await opened(connection, old)
    one, two = Rotation(connection, both, batch=3), Rotation(other, both, batch=3)
    assert list(await asyncio.gather(one.run(), two.run())) == [0, 0]
    assert one.done + two.done == 40
    assert one.done
    assert two.done
    assert await opened(connection, new) == before


async def test_a_refresh_that_holds_a_row_wins(connection: Connection, other: Connection) -> None:
    ids = await add(connection, old, 8)
    refreshed = ids[3]
    transaction = other.transaction()
    await transaction.start()
    await other.execute("SELECT 1 FROM provider_tokens WHERE id = $1 FOR UPDATE", refreshed)
    rotation = Rotation(connection, both, batch=3)
    running = asyncio.create_task(rotation.run())
    async with asyncio.timeout(PATIENCE):
        while True:
            await asyncio.sleep(0.01)
            if rotation.done == 7:
                break
    assert not running.done()
    # The app's process may still be the one from before, with the old key alone.
    await other.execute(
        "UPDATE provider_tokens SET access_token_encrypted = $2 WHERE id = $1",
        refreshed,
        sealed(old, refreshed, COLUMNS[0], "refreshed"),
    )
    await transaction.commit()
    assert await asyncio.wait_for(running, PATIENCE) == 0
    assert rotation.done == 8
    tokens = await opened(connection, new)
    assert str(tokens[refreshed][0]).startswith("refreshed")
    assert all(str(tokens[row_id][0]).startswith("original") for row_id in ids if row_id != refreshed)


async def test_a_row_held_too_long_is_reported(connection: Connection, other: Connection) -> None:
    ids = await add(connection, old, 3)
    async with other.transaction():
        await other.execute("SELECT 1 FROM provider_tokens WHERE id = $1 FOR UPDATE", ids[0])
        assert await Rotation(connection, both).run(patience=0) == 1
    assert await rows_by_key(connection) == {old.primary_id: 1, new.primary_id: 2}


async def test_what_cannot_be_read_is_left_and_told(
    connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    ids = await add(connection, old, 4)
    # Somebody else's value: the row is authenticated with it.
    await connection.execute(
        """
        UPDATE provider_tokens SET access_token_encrypted = other.access_token_encrypted
        FROM provider_tokens AS other WHERE provider_tokens.id = $1 AND other.id = $2
        """,
        ids[0],
        ids[1],
    )
    await connection.execute("UPDATE provider_tokens SET access_token_encrypted = 'x' WHERE id = $1", ids[2])
    rotation = Rotation(connection, both, batch=2)
    assert await rotation.run() == 2
    assert rotation.unreadable == {ids[0], ids[2]}
    assert rotation.done == 2
    assert f"access_token_encrypted of {ids[0]}: was changed" in caplog.text
    assert f"access_token_encrypted of {ids[2]}: this is no encrypted value" in caplog.text


async def test_a_needed_key_cannot_be_dropped(connection: Connection) -> None:
    await add(connection, old, 3)
    await require_keys(connection, both)
    with pytest.raises(ConfigurationError, match=f"lacks the key {old.primary_id}, .* rows: 3;"):
        await require_keys(connection, new)
    await Rotation(connection, both).run()
    await require_keys(connection, new)


async def command(scratch: OwnerSettings, keys: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "src.core.security.rotate_encryption_keys",
        cwd=SOURCE.parent,
        env=os.environ
        | {"APP_DATABASE_URL": scratch.app_database_url.get_secret_value(), "ENCRYPTION_KEY": keys},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def finished(process: asyncio.subprocess.Process) -> str:
    output, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    return output.decode()


async def test_the_command_says_what_may_go(scratch: OwnerSettings, connection: Connection) -> None:
    await add(connection, old, 3)
    process = await command(scratch, f"{NEW},{OLD}")
    output = await finished(process)
    assert process.returncode == 0, output
    assert f"3 under {old.primary_id}" in output
    assert "Re-encrypted 3 rows" in output
    assert f"these can be dropped: {old.primary_id}" in output
    assert OLD not in output
    assert NEW not in output
    process = await command(scratch, NEW)
    assert "there is no other" in await finished(process)
    assert process.returncode == 0


async def test_the_command_fails_without_the_key(scratch: OwnerSettings, connection: Connection) -> None:
    await add(connection, old, 3)
    process = await command(scratch, NEW)
    output = await finished(process)
    assert process.returncode == 1
    _, refusal = output.splitlines()
    assert (
        f"ENCRYPTION_KEY: lacks the key {old.primary_id}, under which provider_tokens has rows: 3" in refusal
    )


async def test_the_command_fails_where_rows_are_left(scratch: OwnerSettings, connection: Connection) -> None:
    await add(connection, old, 3)
    await connection.execute("UPDATE provider_tokens SET access_token_encrypted = 'x' WHERE ctid = '(0,1)'")
    process = await command(scratch, f"{NEW},{OLD}")
    output = await finished(process)
    assert process.returncode == 1
    assert "Re-encrypted 2 rows" in output
    assert "Drop no key yet: 1 rows cannot be read, 0 are held by others" in output


async def test_a_command_whose_database_goes_says_one_line(
    scratch: OwnerSettings, connection: Connection, other: Connection
) -> None:
    ids = await add(connection, old, 2)
    async with other.transaction():
        await other.execute("SELECT 1 FROM provider_tokens WHERE id = $1 FOR UPDATE", ids[0])
        process = await command(scratch, f"{NEW},{OLD}")
        async with asyncio.timeout(PATIENCE):
            while True:
                await asyncio.sleep(0.05)
                if (await rows_by_key(connection)).get(new.primary_id) == 1:
                    break
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND NOT pid = ANY ($1)",
            [connection.get_server_pid(), other.get_server_pid()],
        )
        output = await finished(process)
    assert process.returncode == 1
    assert "the next run does the rest" in output.splitlines()[-1]
    assert "Traceback" not in output


async def test_a_killed_command_is_taken_up_again(
    scratch: OwnerSettings, connection: Connection, other: Connection
) -> None:
    ids = await add(connection, old, 6)
    before = await opened(connection, old)
    async with other.transaction():
        # So that it has work left when it is killed.
        await other.execute("SELECT 1 FROM provider_tokens WHERE id = $1 FOR UPDATE", ids[2])
        process = await command(scratch, f"{NEW},{OLD}")
        async with asyncio.timeout(PATIENCE):
            while True:
                await asyncio.sleep(0.05)
                if (await rows_by_key(connection)).get(new.primary_id) == 5:
                    break
        process.send_signal(signal.SIGKILL)
        await finished(process)
    assert process.returncode == -signal.SIGKILL
    assert await opened(connection, both) == before
    process = await command(scratch, f"{NEW},{OLD}")
    assert "Re-encrypted 1 rows" in await finished(process)
    assert process.returncode == 0
    assert await opened(connection, new) == before
