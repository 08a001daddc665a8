"""The application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Response
from fastapi.routing import iter_route_contexts

from src.accounts import mail
from src.api import account_pages, auth, authorization, password_resets, provider_types, providers, relay
from src.api.dependencies import StateDependency
from src.api.state import AppState
from src.core import logs
from src.core.config import Settings, load
from src.core.database import create_engine, create_sessions
from src.core.redis import create_redis
from src.core.schema.revisions import heads
from src.core.security.encryption import Keyring
from src.core.web import docs, problems
from src.core.web.health import Health, Readiness, readiness
from src.core.web.metrics import Metrics, served
from src.core.web.rate_limits import RateLimiter
from src.core.web.requests import RequestMiddleware
from src.core.web.tracing import Traces
from src.core.web.trailing_slashes import TrailingSlashMiddleware
from src.provider_types import define_all

DESCRIPTION = """
Dashtam connects brokerage accounts over OAuth. To connect one from this page:

1. **Register an account**, and open the mailed link, whose page verifies its address. Outside production,
   the link is also in the app's log: `make dev-logs-app`.
2. **Log in.** Choose **Authorize** at the top of this page, paste the `access_token` from the response, and
   confirm.
3. **List provider types**, and **add a provider** with the `key` of one and a name of your own.
4. **Start an authorization** with the provider's `id`. Open the `auth_url` from the response in this browser
   within ten minutes, log in at the provider and agree.
5. **Get the status of an authorization**: it is `active`.

Errors are problem details (RFC 9457): `type` names the error for programs, `detail` says what to do.
"""


@asynccontextmanager
async def lifespan(app: FastAPI, metrics: Metrics, traces: Traces) -> AsyncIterator[None]:
    state: AppState = app.state  # type: ignore[assignment]  # FastAPI knows only its base class
    settings = state.settings
    state.engine = create_engine(settings)
    state.sessions = state.audit_sessions = create_sessions(state.engine)
    state.redis = create_redis(settings)
    state.rate_limiter = RateLimiter(state.redis, settings.redis_key_prefix)
    state.migration_heads = heads()
    mail.announce(settings)
    try:
        async with served(metrics, settings, settings.metrics_port), traces.exported():
            yield
    finally:
        await state.redis.aclose()
        await state.engine.dispose()


def configure(app: FastAPI, settings: Settings) -> AppState:
    """Give ``app`` a new state, made of ``settings``; the routes are the same for any."""
    logs.configure(settings.log_level, settings.secret_values(), mails=settings.environment != "production")
    app.state = state = AppState()
    state.settings = settings
    state.keyring = Keyring.parse(settings.encryption_key.get_secret_value())
    state.provider_types = define_all(settings)
    return state


def create_app(settings: Settings | None = None) -> FastAPI:
    """The app for ``settings``, by default those of the process environment."""
    settings = settings or load(Settings)
    metrics, traces = Metrics(), Traces()
    app = FastAPI(
        title="Dashtam",
        description=DESCRIPTION,
        lifespan=lambda app: lifespan(app, metrics, traces),
        openapi_url="/openapi.json" if settings.environment != "production" else None,
        # Theirs load what they need from the internet.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    problems.install(app)
    app.add_middleware(TrailingSlashMiddleware)
    app.add_middleware(
        RequestMiddleware,
        routes=lambda: iter_route_contexts(app.routes),
        internal_error=lambda: problems.answer(problems.InternalError()),
        observers=(metrics.observe, traces.observe),
    )
    configure(app, settings)

    @app.get("/health", summary="Check that the app runs", tags=["operation"])
    async def health() -> Health:
        """The process answers. Nothing else is asked."""
        return Health()

    @app.get(
        "/ready",
        summary="Check that the app can serve requests",
        tags=["operation"],
        responses={503: {"model": Readiness}},
    )
    async def ready(state: StateDependency, response: Response) -> Readiness:
        """The process, the database, its migrations and Redis. 503 while one of them is missing."""
        ahead = state.settings.schema_ahead == "accept"
        found = await readiness(state.engine, state.redis, state.migration_heads, ahead)
        if found.status != "ready":
            response.status_code = 503
        return found

    for module in (auth, password_resets, provider_types, providers, authorization, relay):
        app.include_router(module.router, prefix="/api/v1")
    account_pages.install(app)
    if app.openapi_url:
        docs.install(app)

    return app
