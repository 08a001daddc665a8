"""Make a database usable, as often as wanted: wait for it, migrate it, check it. No data is added.

python -m src.core.init_db
"""

import asyncio
import logging
import sys

from src.core import logs
from src.core.config import ConfigurationError, OwnerSettings, load
from src.core.schema.migrate import in_transaction, schema_differences, upgrade
from src.core.schema.wait import DatabaseUnavailableError
from src.models import metadata

logger = logging.getLogger(__name__)


async def init_db(settings: OwnerSettings) -> list[str]:
    """Migrate, then return what still differs from the models; empty when all is well."""
    await upgrade(settings)
    return await in_transaction(settings, schema_differences)


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
