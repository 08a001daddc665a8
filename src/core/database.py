"""The app's access to PostgreSQL: one engine per process, one session per request."""

import logging

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from src.core.config import Settings


def create_engine(settings: Settings) -> AsyncEngine:
    """The engine of the runtime role. Nothing is connected yet.

    ``pool_pre_ping`` because the test initialisation, a restore or a restarted server ends connections that
    wait in the pool; ``hide_parameters`` because hashes and encrypted tokens do not belong into tracebacks.
    The times, in seconds, are for a server that neither answers nor refuses: somebody waits for each request.
    """
    # SQLAlchemy's own ``echo`` would add a handler, and with it a second line in another format.
    logging.getLogger("sqlalchemy.engine").setLevel(logging.INFO if settings.db_echo else logging.WARNING)
    return create_async_engine(
        settings.app_database_url.get_secret_value(),
        connect_args={"timeout": 5, "command_timeout": 10},
        hide_parameters=True,
        pool_pre_ping=True,
        pool_timeout=10,
    )


def create_sessions(engine: AsyncEngine) -> async_sessionmaker[AsyncSession]:
    """Sessions whose objects stay readable after the endpoint's own commit."""
    return async_sessionmaker(engine, expire_on_commit=False)
