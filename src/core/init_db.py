"""Make a database usable, as often as wanted: wait for it, migrate it, check it. No data is added.

    python -m src.core.init_db

Where SCHEMA_AHEAD is ``accept``, a database that newer code has migrated is left as it is: the migration of
an older version that is deployed again has nothing to do (docs/expand-and-contract.md).
"""

import asyncio
import logging
import sys

from src.core import logs
from src.core.config import ConfigurationError, OwnerSettings, load
from src.core.schema.applied import applied
from src.core.schema.migrate import in_transaction, schema_differences, upgrade
from src.core.schema.revisions import heads, known
from src.core.schema.wait import DatabaseUnavailableError, wait_for_database
from src.models import metadata

logger = logging.getLogger(__name__)


async def init_db(settings: OwnerSettings) -> list[str]:
    """Migrate, then return what still differs from the models; empty when all is well."""
    if settings.schema_ahead == "accept" and await is_ahead(settings):
        return []
    await upgrade(settings)
    return await in_transaction(settings, schema_differences)


async def is_ahead(settings: OwnerSettings) -> bool:
    """Whether the database has the code's revisions and newer ones.

    Raise ConfigurationError if it has newer ones and lacks some of the code's.
    """
    connection = await wait_for_database(settings.owner, "DATABASE_URL")
    try:
        found = await applied(connection)
    finally:
        await connection.close()
    if not (newer := sorted(found.newest - known())):
        return False
    found.require(heads())
    logger.info("The database is ahead of this code, at %s: nothing is migrated", ", ".join(newer))
    return True


def main() -> int:
    logs.configure("INFO")
    try:
        differences = asyncio.run(init_db(load(OwnerSettings)))
    except (ConfigurationError, DatabaseUnavailableError) as error:
        for line in str(error).splitlines():
            logger.error("%s", line)
        return 1
    for difference in differences:
        logger.error("The database differs from the models: %s", difference)
    if differences:
        return 1
    logger.info("Database initialized successfully: %s", ", ".join(sorted(metadata.tables)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
