"""Waiting for a database that is still being made.

Beside a fresh server there are many kinds of "not yet": the name does not resolve, nothing listens, the
server starts up, the role or the database does not exist. They are polled for, quickly, because the whole
environment waits for this. A wrong password is final - but with SCRAM PostgreSQL hides whether a role exists
and answers "wrong password" for a missing one, too. So that answer is believed once it has lasted
``PASSWORD_GRACE`` seconds, in which whoever sets up the server makes its roles, on a busy machine, too.
"""

import asyncio
import logging
import ssl
import time
from collections.abc import Callable

import asyncpg

from src.core.database_address import DatabaseAddress

INTERVAL = 0.1
CONNECT_TIMEOUT = 5.0
LIMIT = 120.0
PASSWORD_GRACE = 90.0

NOT_YET = (
    OSError,  # nothing resolves, listens or answers; a time-out is one, too
    asyncpg.CannotConnectNowError,
    asyncpg.ConnectionDoesNotExistError,
    asyncpg.InsufficientPrivilegeError,  # CONNECT is not granted yet
    asyncpg.InvalidAuthorizationSpecificationError,  # no such role
    asyncpg.InvalidCatalogNameError,  # no such database
    asyncpg.ObjectNotInPrerequisiteStateError,  # the database does not accept connections yet
    asyncpg.TooManyConnectionsError,
)

logger = logging.getLogger(__name__)


class DatabaseUnavailableError(Exception):
    """One line that says which database did not answer, what it said last and what to do."""


async def wait_for_database(
    address: DatabaseAddress,
    variable: str,
    *,
    limit: float = LIMIT,
    password_grace: float = PASSWORD_GRACE,
    meanwhile: Callable[[], object] | None = None,
) -> asyncpg.Connection:
    """A connection, once ``address``'s role can log in; ``variable`` is where the address was given.

    ``meanwhile`` is done once, after the first vain attempt: work that can be done while a server is made.
    """
    where = f"{address.username} at {address.host}:{address.port}/{address.database}"
    deadline = time.monotonic() + limit
    rejected_since: float | None = None
    said = ""
    while True:
        try:
            return await _connect(address)
        except asyncpg.InvalidPasswordError:
            rejected_since = rejected_since or time.monotonic()
            if time.monotonic() - rejected_since >= password_grace:
                raise DatabaseUnavailableError(
                    f"{variable}: {where}: the server rejects this password, or has no such role; "
                    "run the environment's playbook, which sets both, and look at env/local.<env>.yml"
                ) from None
            reason = "no such role yet, or a wrong password"
        except ssl.SSLCertVerificationError as error:
            raise DatabaseUnavailableError(
                f"{variable}: {where}: the server's certificate is refused: {error.verify_message}; "
                "run the environment's playbook, which gives it one of the CA in TLS_CA_FILE"
            ) from None
        except NOT_YET as error:
            rejected_since = None
            reason = str(error) or type(error).__name__
        if time.monotonic() >= deadline:
            raise DatabaseUnavailableError(
                f"{variable}: {where}: no login in {limit:.0f} s, last answer: {reason}; is the server up?"
            )
        if reason != said:
            logger.info("Waiting for %s: %s", where, reason)
            said = reason
        if meanwhile is not None:
            meanwhile()
            meanwhile = None
        else:
            await asyncio.sleep(INTERVAL)


async def _connect(address: DatabaseAddress) -> asyncpg.Connection:
    return await asyncpg.connect(
        host=address.host,
        port=address.port,
        user=address.username,
        password=address.password,
        database=address.database,
        ssl=address.tls,
        timeout=CONNECT_TIMEOUT,
    )
