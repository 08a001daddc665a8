"""What the app container runs: wait for the database, migrate it, become uvicorn.

    python -m src.start [--reload] [--migrated]

With ``--migrated``, nothing is migrated, and the owner's credentials are neither needed nor read: a job has
run ``python -m src.core.init_db`` before. A database that newer code has migrated will do then, so that a
version that was rolled back starts (docs/expand-and-contract.md); one that lacks a revision is refused.

The process that serves requests is a new program in the same process: its environment has no owner's
credentials, and neither has its memory. The container's own environment keeps them, for the next start and
for commands that a person runs there; the kernel keeps what serves requests from reading it
(:mod:`src.core.security.landlock`). ``--reload`` restarts it when a file of the source changes.
"""

import argparse
import asyncio
import importlib
import logging
import os
import signal
import sys
from typing import NoReturn

from src.core import logs
from src.core.config import ConfigurationError, OwnerSettings, Settings, load
from src.core.schema.applied import applied
from src.core.schema.revisions import heads
from src.core.schema.wait import DatabaseUnavailableError, wait_for_database
from src.core.secret_files import folder
from src.core.security.encrypted_rows import require_keys
from src.core.security.encryption import Keyring
from src.core.security.landlock import keep_to_itself
from src.core.web.server import command_line, uvicorn_options

MIGRATE = "src.core.schema.migrate"
OWNERS_VARIABLES = ("DATABASE_URL", "POSTGRES_USER", "POSTGRES_PASSWORD")

logger = logging.getLogger(__name__)


async def prepare(settings: OwnerSettings, keyring: Keyring) -> None:
    """Wait for the database, bring it to the code's head, see that its encrypted values can be read."""
    # Alembic takes a second to import: time that a server which is being made leaves, and that a database
    # which is at the head already need not spend.
    connection = await wait_for_database(
        settings.owner, "DATABASE_URL", meanwhile=lambda: importlib.import_module(MIGRATE)
    )
    try:
        revisions = (await applied(connection)).newest
    finally:
        await connection.close()
    if revisions == heads():
        logger.info("Running Alembic migrations... none is missing at %s", ", ".join(sorted(revisions)))
        logger.info("Migrations completed successfully")
    else:
        await importlib.import_module(MIGRATE).upgrade(settings)
    connection = await wait_for_database(settings.runtime, "APP_DATABASE_URL")
    try:
        await require_keys(connection, keyring)
    finally:
        await connection.close()


async def check(settings: Settings, keyring: Keyring) -> None:
    """Wait for the database, see that it has the code's revisions and that its values can be read."""
    connection = await wait_for_database(settings.runtime, "APP_DATABASE_URL")
    try:
        found = await applied(connection)
        found.require(heads())
        logger.info("The database is migrated, at %s", ", ".join(sorted(found.newest)))
        await require_keys(connection, keyring)
    finally:
        await connection.close()


def fail(error: Exception) -> NoReturn:
    for line in str(error).splitlines():
        logger.error("%s", line)
    sys.exit(1)


def main() -> NoReturn:
    parser = argparse.ArgumentParser(prog="python -m src.start")
    parser.add_argument("--reload", action="store_true", help="restart when the source changes")
    parser.add_argument(
        "--migrated", action="store_true", help="a job migrates; a schema that is newer than the code will do"
    )
    arguments = parser.parse_args()
    # Without an init a first process has no default reaction to SIGTERM: stopping would take 10 s.
    # At once, not by an exception: one raised inside an import may be swallowed, and the server rolls back.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
    logs.configure("INFO")
    try:
        settings = load(Settings)
        options = uvicorn_options(settings, settings.app_port, arguments.reload)
        keyring = Keyring.parse(settings.encryption_key.get_secret_value())
        if arguments.migrated:
            logs.configure("INFO", settings.secret_values())
            asyncio.run(check(settings, keyring))
        else:
            owner = load(OwnerSettings)
            logs.configure("INFO", settings.secret_values() + owner.secret_values())
            asyncio.run(prepare(owner, keyring))
    except (ConfigurationError, DatabaseUnavailableError) as error:
        fail(error)
    environment = {name: value for name, value in os.environ.items() if name not in OWNERS_VARIABLES}
    if arguments.migrated:
        environment["SCHEMA_AHEAD"] = "accept"
    if any(os.access(file := folder() / name, os.R_OK) for name in OWNERS_VARIABLES):
        logger.warning(
            "The app can read the owner's %s: give it to the migration alone, see --migrated", file
        )
    # Whoever attaches runs code here in any case, and in such a domain debugpy was seen to miss the worker.
    if "DEBUG_PORT" in os.environ:
        logger.warning("A debugger may attach: whoever does can read the owner's DATABASE_URL, too")
    elif not keep_to_itself():
        logger.warning("This kernel has no Landlock: the app could read the owner's DATABASE_URL in /proc")
    command = [sys.executable, "-m", "uvicorn", "src.main:create_app", *command_line(options)]
    os.execve(sys.executable, command, environment)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
