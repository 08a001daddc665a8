"""Numbers for Prometheus, on a port inside the environment's network that nothing publishes.

A label never has what a client made up: a route is the template of the code, ``(none)`` where no route
matched, and a method that HTTP does not define is ``other``. So nobody can add series, and no address or
token of a path gets into one. The server is a single process, whose numbers are all there is.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    make_asgi_app,
)
from starlette.types import Scope

from src.core.config import ConfigurationError, ServerSettings
from src.core.web.server import uvicorn_options

# RFC 9110, 9.1, and RFC 5789
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})
# Seconds. A login, which hashes a password on purpose, takes a few tenths.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
CONNECTIONS = 20

# A second series for each, which says when the first was made; Prometheus knows that itself.
disable_created_metrics()  # type: ignore[no-untyped-call]  # its declaration has no types


class Metrics:
    """What one app counts, and what the system says of its process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._requests = Counter(
            "http_requests",
            "Requests that were answered",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "http_request_duration_seconds",
            "Time until an answer was sent",
            ("method", "route"),
            buckets=BUCKETS,
            registry=self.registry,
        )

    def observe(self, scope: Scope, route: str, status: int, seconds: float) -> None:
        """Count a request; ``route`` is a template, ``status`` 0 where the client left without an answer."""
        known = scope["method"] if scope["method"] in METHODS else "other"
        self._requests.labels(known, route, str(status)).inc()
        self._seconds.labels(known, route).observe(seconds)


class _Listener(uvicorn.Server):
    """A second server of the same process. Signals are for the first, which ends this one."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def served(metrics: Metrics, settings: ServerSettings, port: int | None) -> AsyncIterator[None]:
    """Inside, ``metrics`` answer on ``port``, over TLS where the app does; without a port, nowhere.

    They are answered by the loop that answers requests: where it hangs, they are missing, too.

    :raises ConfigurationError: something else has the port.
    """
    if port is None:
        yield
        return
    try:
        # With SO_REUSEADDR: the process that a reload has ended leaves connections behind.
        listening = socket.create_server(("0.0.0.0", port))  # noqa: S104 - inside a container, not published
    except OSError as error:
        # Python adds the address to the error's own words.
        reason = os.strerror(error.errno or 0)
        raise ConfigurationError(f"METRICS_PORT: {port}: {reason}; choose another port") from None
    options = uvicorn_options(settings, port, reload=False) | {
        "factory": False,
        "lifespan": "off",
        "log_config": None,
        "limit_concurrency": CONNECTIONS,
        "timeout_graceful_shutdown": 1,
    }
    server = _Listener(uvicorn.Config(make_asgi_app(metrics.registry), **options))
    serving = asyncio.create_task(server.serve([listening]))
    try:
        yield
    finally:
        server.should_exit = True
        await serving
