"""Drop and recreate everything in the test database, if it certainly is one.

    python -m src.core.init_test_db

It reads ENVIRONMENT, TESTING, DATABASE_URL, APP_DATABASE_URL and TEST_DATABASE_IDENTITY, and takes no
argument: there is no way around the layers. Layers 1 to 3 are checked before it connects
(:mod:`src.core.test_databases.policy`), 4 to 6 on the connection and in the transaction that drops
(:mod:`src.core.test_databases.rebuild`). It exits with 0 when the schema is new, 1 when something failed, 2
for an argument, 3 when a layer refused.
"""

import asyncio
import logging
import os
import re
import sys
from urllib.parse import unquote

from src.core import logs
from src.core.test_databases.policy import RefusalError, TestDatabaseError, read_identity, read_target

FAILED, MISUSED, REFUSED = 1, 2, 3

logger = logging.getLogger("init_test_db")


def main() -> int:
    logs.configure("INFO")
    if len(sys.argv) > 1:
        return _end(MISUSED, "takes no argument; there is no way around its checks")
    try:
        # From the raw environment, before anything is imported that accepts other spellings.
        target = read_target(os.environ)
        identity = read_identity(os.environ)

        from src.core.test_databases.rebuild import rebuild

        asyncio.run(rebuild(target, identity))
    except RefusalError as refusal:
        return _end(REFUSED, f"{refusal}; nothing was changed")
    except TestDatabaseError as error:
        return _end(FAILED, _one_line(error))
    except KeyboardInterrupt:
        return _end(FAILED, "interrupted; the schema is the old one or the new one, nothing between")
    except Exception as error:
        # Whatever else the driver, SQLAlchemy or a migration raises. The stack would carry no more than this
        # line does, and the line has been cleared of passwords.
        return _end(FAILED, f"{type(error).__name__}: {_one_line(error)}")
    logger.info("Test database initialized successfully")
    return 0


def _end(code: int, line: str) -> int:
    sys.stderr.write(f"init_test_db: {line}\n")
    return code


def _one_line(error: Exception) -> str:
    """What an error says, without a password that somebody else's message may repeat."""
    line = "; ".join(str(error).split("\n"))
    for name in ("DATABASE_URL", "APP_DATABASE_URL"):
        for password in re.findall(r"//[^:/@]*:([^@]+)@", os.environ.get(name, "")):
            line = line.replace(password, "***").replace(unquote(password), "***")
    return line


if __name__ == "__main__":
    sys.exit(main())
