"""What the app container runs: wait for the database, migrate it, become uvicorn.

    python -m src.start [--reload]

The process that serves requests is a new program in the same process: its environment has no owner's
credentials, and neither has its memory. ``--reload`` restarts it when a file of the source changes.
"""

import argparse
import asyncio
import logging
import os
import signal
import sys
from typing import NoReturn

from src.core import logs
from src.core.config import ConfigurationError, OwnerSettings, Settings, load
from src.core.migrate import upgrade
from src.core.server import command_line, uvicorn_options
from src.core.wait import DatabaseUnavailable

OWNERS_VARIABLES = ("DATABASE_URL", "POSTGRES_USER", "POSTGRES_PASSWORD")

logger = logging.getLogger(__name__)


def fail(error: Exception) -> NoReturn:
    for line in str(error).splitlines():
        logger.error("%s", line)
    sys.exit(1)


def main() -> NoReturn:
    parser = argparse.ArgumentParser(prog="python -m src.start")
    parser.add_argument("--reload", action="store_true", help="restart when the source changes")
    arguments = parser.parse_args()
    # A container's first process has no default reaction to SIGTERM: stopping while waiting would take 10 s.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    logs.configure("INFO")
    try:
        settings = load(Settings)
        options = uvicorn_options(settings, settings.app_port, arguments.reload)
        asyncio.run(upgrade(load(OwnerSettings)))
    except (ConfigurationError, DatabaseUnavailable) as error:
        fail(error)
    environment = {name: value for name, value in os.environ.items() if name not in OWNERS_VARIABLES}
    command = [sys.executable, "-m", "uvicorn", "src.main:create_app", *command_line(options)]
    os.execve(sys.executable, command, environment)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
