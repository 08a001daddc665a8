"""The callback server: where a provider sends the user's browser after the user agreed, or did not.

    python -m src.callback [--reload]

A process of its own because Schwab accepts only its registered address, https://127.0.0.1:8182. It has no
database, no Redis and no key: it relays what arrives to the app. Starlette alone serves it, because eight
containers that start at once share two cores.
"""

import argparse
import logging
import sys

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse
from starlette.routing import Route

from src.core import logs
from src.core.config import CallbackSettings, ConfigurationError, load
from src.core.requests import RequestMiddleware
from src.core.server import uvicorn_options

# Constant on purpose: nothing of the request is repeated, so nothing has to be escaped.
NOT_AVAILABLE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Dashtam: not connected</title></head>
<body>
<h1>Nothing was connected</h1>
<p>This version of Dashtam cannot complete a connection with a provider yet. Nothing of this request was
stored or passed on. You may close this window.</p>
</body>
</html>
"""
# The address carries an authorization code: no cache may keep it, no other site may learn it.
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

logger = logging.getLogger(__name__)


async def health(request: Request) -> JSONResponse:
    return JSONResponse({"status": "ok"})


async def redirect(request: Request) -> HTMLResponse:
    """The provider's redirect. Its code stays unused and expires within a minute."""
    return HTMLResponse(NOT_AVAILABLE, status_code=501, headers=HEADERS)


def create_app() -> Starlette:
    settings = load(CallbackSettings)
    logs.configure(settings.log_level, settings.secret_values())
    routes = [Route("/", redirect), Route("/health", health)]
    requests = Middleware(
        RequestMiddleware,
        routes=lambda: routes,
        internal_error=lambda: PlainTextResponse("Something went wrong here.", 500, HEADERS),
    )
    return Starlette(routes=routes, middleware=[requests])


def main() -> int:
    import uvicorn

    parser = argparse.ArgumentParser(prog="python -m src.callback")
    parser.add_argument("--reload", action="store_true", help="restart when the source changes")
    arguments = parser.parse_args()
    logs.configure("INFO")
    try:
        settings = load(CallbackSettings)
        options = uvicorn_options(settings, settings.callback_port, arguments.reload)
    except ConfigurationError as error:
        for line in str(error).splitlines():
            logger.error("%s", line)
        return 1
    uvicorn.run("src.callback:create_app", **options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
