"""The application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.routing import iter_route_contexts

from src.accounts import mail
from src.api import auth, authorization, password_resets, provider_types, providers, relay
from src.core import logs
from src.core.config import Settings, load
from src.core.database import create_engine, create_sessions
from src.core.redis import create_redis
from src.core.schema.revisions import heads
from src.core.security.encryption import Keyring
from src.core.web import problems
from src.core.web.health import Health, Readiness, readiness
from src.core.web.requests import RequestMiddleware
from src.provider_types import define_all


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    app.state.engine = create_engine(settings)
    app.state.sessions = create_sessions(app.state.engine)
    # Failures are recorded in a transaction of their own, which outlives that of the request.
    app.state.audit_sessions = app.state.sessions
    app.state.redis = create_redis(settings)
    app.state.migration_heads = heads()
    mail.announce(settings)
    try:
        yield
    finally:
        await app.state.redis.aclose()
        await app.state.engine.dispose()


def configure(app: FastAPI, settings: Settings) -> None:
    """All that requests find of the settings; the routes are the same for any."""
    logs.configure(settings.log_level, settings.secret_values(), mails=settings.environment != "production")
    app.state.settings = settings
    app.state.keyring = Keyring.parse(settings.encryption_key.get_secret_value())
    app.state.provider_types = define_all(settings)


def create_app(settings: Settings | None = None) -> FastAPI:
    """The app for ``settings``, by default those of the process environment."""
    settings = settings or load(Settings)
    app = FastAPI(
        title="Dashtam",
        lifespan=lifespan,
        # Without it there is no /docs either.
        openapi_url="/openapi.json" if settings.environment != "production" else None,
        redoc_url=None,
    )
    problems.install(app)
    app.add_middleware(
        RequestMiddleware,
        routes=lambda: iter_route_contexts(app.routes),
        internal_error=lambda: problems.answer(problems.InternalError()),
    )
    configure(app, settings)

    @app.get("/health", tags=["operation"])
    async def health() -> Health:
        """The process answers; nothing else is asked."""
        return Health()

    @app.get("/ready", tags=["operation"], responses={503: {"model": Readiness}})
    async def ready(request: Request, response: Response) -> Readiness:
        """The process and all it needs; 503 while something is missing."""
        state = request.app.state
        found = await readiness(state.engine, state.redis, state.migration_heads)
        if found.status != "ready":
            response.status_code = 503
        return found

    for module in (auth, password_resets, provider_types, providers, authorization, relay):
        app.include_router(module.router, prefix="/api/v1")

    return app
