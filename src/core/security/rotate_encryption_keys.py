"""Re-encrypt every stored token under the first key of ENCRYPTION_KEY, so that the others can be dropped.

    python -m src.core.security.rotate_encryption_keys

Beside a running app, beside another one of its kind, as often as wanted: rows are done in batches, each in a
transaction of its own; a row that somebody holds is passed over and come back to; one under the first key
already is left alone. So whatever ends it, the next run does the rest. It exits with 0 when no other key is
needed any more.
"""

import asyncio
import logging
import sys
import time
import uuid
from dataclasses import dataclass, field

import asyncpg
from asyncpg import Connection, Record

from src.core import logs
from src.core.config import ConfigurationError, Settings, load
from src.core.schema.wait import DatabaseUnavailableError, wait_for_database
from src.core.security.encrypted_rows import COLUMNS, KEY_OF, TABLE, require_keys, rows_by_key
from src.core.security.encryption import DecryptionError, Keyring

BATCH = 100
# Seconds: longer than anybody holds a row, were it while a provider is asked.
PATIENCE = 30.0
INTERVAL = 0.5

_SELECTED = f"({' OR '.join(f'{key} <> $1' for key in KEY_OF.values())} OR key_id <> encode($1, 'hex'))"
_SELECT = f"""
    SELECT id, {", ".join(COLUMNS)} FROM {TABLE}
    WHERE id > $2 AND {_SELECTED}
    ORDER BY id LIMIT $3 FOR UPDATE SKIP LOCKED
"""  # noqa: S608 - names of our own
_COUNT = f"SELECT count(*) FROM {TABLE} WHERE id <> ALL ($2) AND {_SELECTED}"  # noqa: S608 - as above
# updated_at stays: for whoever reads it, nothing has changed.
_UPDATE = f"""
    UPDATE {TABLE} SET {", ".join(f"{column} = ${number}" for number, column in enumerate(COLUMNS, start=3))},
    key_id = $2 WHERE id = $1
"""  # noqa: S608 - as above

logger = logging.getLogger(__name__)


@dataclass
class Rotation:
    """One run of the command; its own transactions, on a connection that nobody else uses."""

    connection: Connection
    keyring: Keyring
    batch: int = BATCH
    done: int = 0
    unreadable: set[uuid.UUID] = field(default_factory=set)

    async def run(self, patience: float = PATIENCE) -> int:
        """Do it, and return how many rows still need another key: unreadable ones, or held too long."""
        deadline = time.monotonic() + patience
        while True:
            await self._all_that_are_free()
            held = await self._held()
            if not held or time.monotonic() >= deadline:
                return held + len(self.unreadable)
            await asyncio.sleep(INTERVAL)

    async def _all_that_are_free(self) -> None:
        after = uuid.UUID(int=0)
        while True:
            async with self.connection.transaction():
                rows = await self.connection.fetch(_SELECT, self._primary, after, self.batch)
                changed = [new for row in rows if (new := self._encrypted_anew(row))]
                await self.connection.executemany(_UPDATE, changed)
            if not rows:
                return
            after = rows[-1]["id"]
            self.done += len(changed)
            if changed:
                logger.info("Re-encrypted %d rows, %d so far", len(changed), self.done)

    def _encrypted_anew(self, row: Record) -> tuple[object, ...] | None:
        row_id: uuid.UUID = row["id"]
        try:
            values = [self._value(row_id, column, row[column]) for column in COLUMNS]
        except DecryptionError as error:
            if row_id not in self.unreadable:
                logger.error("Left as it is: %s", error)
            self.unreadable.add(row_id)
            return None
        return (row_id, self.keyring.primary_id, *values)

    def _value(self, row_id: uuid.UUID, column: str, value: bytes | None) -> bytes | None:
        if value is None:
            return None
        plaintext = self.keyring.decrypt(value, table=TABLE, column=column, row_id=row_id)
        return self.keyring.encrypt(plaintext, table=TABLE, column=column, row_id=row_id)

    async def _held(self) -> int:
        count: int = await self.connection.fetchval(_COUNT, self._primary, list(self.unreadable))
        return count

    @property
    def _primary(self) -> bytes:
        return bytes.fromhex(self.keyring.primary_id)


async def rotate(settings: Settings) -> bool:
    """Whether every row is under the first key now."""
    keyring = Keyring.parse(settings.encryption_key.get_secret_value())
    connection = await wait_for_database(settings.runtime, "APP_DATABASE_URL", limit=10)
    try:
        logger.info("Rows of %s by key: %s", TABLE, _listed(await rows_by_key(connection)))
        await require_keys(connection, keyring)
        rotation = Rotation(connection, keyring)
        left = await rotation.run()
        if left:
            logger.error(
                "Drop no key yet: %d rows cannot be read, %d are held by others; run this again",
                len(rotation.unreadable),
                left - len(rotation.unreadable),
            )
            return False
        logger.info("Rows of %s by key: %s", TABLE, _listed(await rows_by_key(connection)))
    finally:
        await connection.close()
    droppable = ", ".join(keyring.ids[1:])
    logger.info(
        "Every row is under %s, the first key; %s",
        keyring.primary_id,
        f"these can be dropped: {droppable}" if droppable else "there is no other",
    )
    return True


def _listed(rows: dict[str, int]) -> str:
    return ", ".join(f"{count} under {key_id}" for key_id, count in rows.items()) or "none"


def main() -> int:
    logs.configure("INFO")
    try:
        settings = load(Settings)
        logs.configure("INFO", settings.secret_values())
        return 0 if asyncio.run(rotate(settings)) else 1
    except (ConfigurationError, DatabaseUnavailableError) as error:
        for line in str(error).splitlines():
            logger.error("%s", line)
    # The internal error: asyncpg may notice only when it rolls back that the server ended the connection.
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
        logger.error("%s; what is done is done, and the next run does the rest", error)
    except KeyboardInterrupt:
        logger.error("Interrupted; what is done is done, and the next run does the rest")
    return 1


if __name__ == "__main__":
    sys.exit(main())
