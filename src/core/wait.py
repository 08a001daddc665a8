"""Waiting for a database that is still being made.

Beside a fresh server there are many kinds of "not yet": the name does not resolve, nothing listens, the
server starts up, the role or the database does not exist. They are polled for, quickly, because the whole
environment waits for this. A wrong password is final - but with SCRAM PostgreSQL hides whether a role exists
and answers "wrong password" for a missing one, too. So that answer is believed once it has lasted
``PASSWORD_GRACE`` seconds, in which whoever sets up the server makes its roles.
"""

import asyncio
import logging
import time
from typing import TYPE_CHECKING

import asyncpg

if TYPE_CHECKING:
    from sqlalchemy import URL

INTERVAL = 0.1
CONNECT_TIMEOUT = 5.0
LIMIT = 120.0
PASSWORD_GRACE = 20.0

NOT_YET = (
    OSError,  # nothing resolves, listens or answers; a time-out is one, too
    asyncpg.CannotConnectNowError,
    asyncpg.ConnectionDoesNotExistError,
    asyncpg.InsufficientPrivilegeError,  # CONNECT is not granted yet
    asyncpg.InvalidAuthorizationSpecificationError,  # no such role
    asyncpg.InvalidCatalogNameError,  # no such database
    asyncpg.TooManyConnectionsError,
)

logger = logging.getLogger(__name__)


class DatabaseUnavailable(Exception):
    """One line that says which database did not answer, what it said last and what to do."""


async def wait_for_database(
    url: "URL", variable: str, limit: float = LIMIT, password_grace: float = PASSWORD_GRACE
) -> None:
    """Return once ``url``'s role can log in to its database; ``variable`` is where the URL was given."""
    where = f"{url.username} at {url.host}:{url.port or 5432}/{url.database}"
    deadline = time.monotonic() + limit
    rejected_since: float | None = None
    said = ""
    while True:
        try:
            await _log_in(url)
        except asyncpg.InvalidPasswordError:
            rejected_since = rejected_since or time.monotonic()
            if time.monotonic() - rejected_since >= password_grace:
                raise DatabaseUnavailable(
                    f"{variable}: {where}: the server rejects this password, or has no such role; "
                    "run the environment's playbook, which sets both, and look at env/local.<env>.yml"
                ) from None
            reason = "no such role yet, or a wrong password"
        except NOT_YET as error:
            rejected_since = None
            reason = str(error) or type(error).__name__
        else:
            return
        if time.monotonic() >= deadline:
            raise DatabaseUnavailable(
                f"{variable}: {where}: no login in {limit:.0f} s, last answer: {reason}; is the server up?"
            )
        if reason != said:
            logger.info("Waiting for %s: %s", where, reason)
            said = reason
        await asyncio.sleep(INTERVAL)


async def _log_in(url: "URL") -> None:
    connection = await asyncpg.connect(
        host=url.host,
        port=url.port or 5432,
        user=url.username,
        password=url.password,
        database=url.database,
        timeout=CONNECT_TIMEOUT,
    )
    await connection.close()
