"""The app's access to PostgreSQL: one engine per process, one session per request."""

import logging
from typing import Any

from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from src.core.config import Settings
from src.core.database_address import DatabaseAddress

# Seconds, for a server that neither answers nor refuses: somebody waits for each request.
CONNECT_TIMEOUT = 5.0
COMMAND_TIMEOUT = 10.0
POOL_TIMEOUT = 10.0


def sqlalchemy_url(address: DatabaseAddress) -> URL:
    """Return what SQLAlchemy connects to. It must not parse the URL again: it leaves the database encoded."""
    return URL.create(
        "postgresql+asyncpg", address.username, address.password, address.host, address.port, address.database
    )


def engine_of(
    address: DatabaseAddress, connect_args: dict[str, Any] | None = None, **options: Any
) -> AsyncEngine:
    """An engine that connects as the address says, with TLS where it wants it. Nothing is connected yet.

    ``hide_parameters`` because hashes and encrypted tokens do not belong in tracebacks.
    """
    return create_async_engine(
        sqlalchemy_url(address),
        connect_args={"ssl": address.tls, **(connect_args or {})},
        hide_parameters=True,
        **options,
    )


def create_engine(settings: Settings) -> AsyncEngine:
    """The engine of the runtime role. Nothing is connected yet.

    ``pool_pre_ping`` because the test initialisation, a restore or a restarted server ends connections that
    wait in the pool.
    """
    # SQLAlchemy's own ``echo`` would add a handler, and with it a second line in another format.
    logging.getLogger("sqlalchemy.engine").setLevel(logging.INFO if settings.db_echo else logging.WARNING)
    return engine_of(
        settings.runtime,
        connect_args={"timeout": CONNECT_TIMEOUT, "command_timeout": COMMAND_TIMEOUT},
        pool_pre_ping=True,
        pool_timeout=POOL_TIMEOUT,
    )


def create_sessions(engine: AsyncEngine) -> async_sessionmaker[AsyncSession]:
    """Sessions whose objects stay readable after the endpoint's own commit."""
    return async_sessionmaker(engine, expire_on_commit=False)
