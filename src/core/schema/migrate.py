"""The schema's one way up and down: Alembic, without its command line and without an ``alembic.ini``.

    python -m src.core.schema.migrate upgrade [REVISION]    to the head, or to REVISION
    python -m src.core.schema.migrate downgrade [REVISION]  one revision down, or to REVISION (``base``: all)
    python -m src.core.schema.migrate create -m MESSAGE     a new revision: how models and database differ
    python -m src.core.schema.migrate merge                 a revision that joins two heads; needs no database
    python -m src.core.schema.migrate check                 exit 1 and name the differences

``create`` and ``merge`` write the file's name as the first line of standard output and its content after it,
because nothing is written below /app: the caller stores it, and owns it. ``create --empty`` makes one to be
filled by hand. Everything else is said on standard error.

Whoever has a connection of its own (the test initialisation) calls :func:`run_migrations` in its own
transaction: all revisions, the version table and the grants are part of it, or nothing is.
"""

import argparse
import asyncio
import contextlib
import logging
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from alembic import autogenerate, command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.util.exc import CommandError
from sqlalchemy import Connection, NullPool, text

from src.core import logs
from src.core.config import ConfigurationError, OwnerSettings, load
from src.core.database import engine_of
from src.core.schema.applied import record
from src.core.schema.revisions import MIGRATIONS, files, heads, lineage, require_known, require_one_head
from src.core.schema.wait import DatabaseUnavailableError, wait_for_database

EXTENSION = "uuid-ossp"
# Any number, as long as every migration of this schema takes the same one.
LOCK = 0x0DA5_47A3

T = TypeVar("T")
logger = logging.getLogger(__name__)


@contextlib.contextmanager
def alembic_config(connection: Connection | None = None, runtime_role: str | None = None) -> Iterator[Config]:
    """What ``env.py`` needs, handed over in ``attributes``: no file, no URL, no password.

    Alembic loads every Python file in its folder and fails for one that is no revision. So it gets a folder
    with links to the revisions, which also takes the new ones that it writes.
    """
    with tempfile.TemporaryDirectory() as directory:
        for path in files():
            Path(directory, path.name).symlink_to(path)
        config = Config(stdout=sys.stderr)
        config.set_main_option("script_location", str(MIGRATIONS))
        config.set_main_option("version_locations", directory)
        config.set_main_option("path_separator", "os")
        config.attributes.update(connection=connection, runtime_role=runtime_role)
        yield config


def run_migrations(connection: Connection, runtime_role: str, revision: str = "head") -> None:
    """Upgrade to ``revision`` on the caller's connection, in the caller's transaction.

    Raise ConfigurationError if the code has two heads or lacks the database's revision.
    """
    if revision == "head":
        require_one_head()
    _lock(connection)
    require_known(_recorded(connection))
    with alembic_config(connection, runtime_role) as config:
        command.upgrade(config, revision)
    record(connection, lineage(_recorded(connection)))


def run_downgrade(connection: Connection, runtime_role: str, revision: str) -> None:
    """Downgrade to ``revision`` on the caller's connection, in the caller's transaction.

    Raise ConfigurationError if the code lacks the database's revision.
    """
    _lock(connection)
    require_known(_recorded(connection))
    with alembic_config(connection, runtime_role) as config:
        command.downgrade(config, revision)
    record(connection, lineage(_recorded(connection)))


def schema_differences(connection: Connection) -> list[str]:
    """What the database lacks or has too much, compared with the models; empty where they agree."""
    import src.core.schema.check_constraints  # noqa: F401 - extends the comparison
    from src.models import metadata  # no part of an upgrade, which a start of the app waits for

    context = MigrationContext.configure(connection, opts=COMPARISON)
    differences = [str(difference) for difference in autogenerate.compare_metadata(context, metadata)]
    found = connection.scalar(text("SELECT 1 FROM pg_extension WHERE extname = :name"), {"name": EXTENSION})
    if found is None:
        differences.append(f"extension {EXTENSION} is missing")
    return differences


COMPARISON: dict[str, Any] = {
    "compare_type": True,
    "compare_server_default": True,
    "autogenerate_plugins": ["alembic.autogenerate.*", "alembic.ext.checkconstraint_byname"],
}


def _recorded(connection: Connection) -> frozenset[str]:
    return frozenset(MigrationContext.configure(connection).get_current_heads())


def _lock(connection: Connection) -> None:
    """Two starts at once, or a start during an initialisation: the second waits for the first."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})


async def in_transaction(settings: OwnerSettings, work: Callable[[Connection], T]) -> T:
    """Run ``work`` as the owner, on one connection, in one transaction."""
    engine = engine_of(settings.owner, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(work)
    finally:
        await engine.dispose()


async def upgrade(settings: OwnerSettings, revision: str = "head") -> None:
    """Wait for the database and both of its roles, then upgrade it.

    Raise ConfigurationError if the revisions do not allow it.
    """
    for address, variable in ((settings.owner, "DATABASE_URL"), (settings.runtime, "APP_DATABASE_URL")):
        await (await wait_for_database(address, variable)).close()
    logger.info("Running Alembic migrations...")
    role = settings.runtime.username
    try:
        await in_transaction(settings, lambda connection: run_migrations(connection, role, revision))
    except CommandError as error:
        raise ConfigurationError(str(error)) from None
    logger.info("Migrations completed successfully")


async def downgrade(settings: OwnerSettings, revision: str) -> None:
    role = settings.runtime.username
    await in_transaction(settings, lambda connection: run_downgrade(connection, role, revision))


def new_revision(connection: Connection, message: str, empty: bool) -> tuple[str, str]:
    """Name and content of a new revision file that brings the database's schema to the models'."""
    from src.models import metadata

    require_one_head()
    recorded = _recorded(connection)
    require_known(recorded)
    if recorded != heads():
        raise ConfigurationError("the database is not at the code's head; run `make migrate` first")
    differences = schema_differences(connection)
    if not differences and not empty:
        raise ConfigurationError(
            "models and database agree, so there is nothing to migrate; --empty makes a blank one"
        )
    with alembic_config(connection) as config:
        config.attributes["metadata"] = metadata
        return _written(config, lambda: command.revision(config, message=message, autogenerate=not empty))


def merged_revision() -> tuple[str, str]:
    """Name and content of a new revision file that joins all heads.

    Raise ConfigurationError if there is only one.
    """
    found = sorted(heads())
    if len(found) < 2:
        raise ConfigurationError(
            f"the migrations have one head, {', '.join(found)}; there is nothing to merge"
        )
    with alembic_config() as config:
        return _written(config, lambda: command.merge(config, "heads", f"Merge {' and '.join(found)}"))


def _written(config: Config, write: Callable[[], object]) -> tuple[str, str]:
    """The revision that Alembic writes: the only file in its folder that is no link."""
    # Alembic announces its file on standard output, which is the caller's.
    with contextlib.redirect_stdout(sys.stderr):
        write()
    folder = Path(config.get_main_option("version_locations") or "")
    (path,) = (path for path in folder.glob("*.py") if not path.is_symlink())
    return path.name, path.read_text(encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m src.core.schema.migrate")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("upgrade", help="to the head, or to REVISION")
    up.add_argument("revision", nargs="?", default="head")
    down = commands.add_parser("downgrade", help="one revision down, or to REVISION")
    down.add_argument("revision", nargs="?", default="-1")
    create = commands.add_parser("create", help="print a new revision: its name, then its content")
    create.add_argument("-m", "--message", required=True)
    create.add_argument("--empty", action="store_true", help="a revision to be filled by hand")
    commands.add_parser("merge", help="print a revision that joins two heads: its name, then its content")
    commands.add_parser("check", help="name what models and database differ in")
    return parser.parse_args()


async def _main(arguments: argparse.Namespace) -> int:
    if arguments.command == "merge":
        # Of files alone: with two heads no app container starts in which it could be run.
        sys.stdout.write("{}\n{}".format(*merged_revision()))
        return 0
    settings = load(OwnerSettings)
    if arguments.command == "upgrade":
        await upgrade(settings, arguments.revision)
    elif arguments.command == "downgrade":
        await downgrade(settings, arguments.revision)
    elif arguments.command == "create":
        name, content = await in_transaction(
            settings, lambda connection: new_revision(connection, arguments.message, arguments.empty)
        )
        sys.stdout.write(f"{name}\n{content}")
    else:
        differences = await in_transaction(settings, schema_differences)
        for difference in differences:
            logger.error("%s", difference)
        return 1 if differences else 0
    return 0


def main() -> int:
    logs.configure("INFO")
    try:
        return asyncio.run(_main(_arguments()))
    except (CommandError, ConfigurationError, DatabaseUnavailableError) as error:
        for line in str(error).splitlines():
            logger.error("%s", line)
        return 1


if __name__ == "__main__":
    sys.exit(main())
