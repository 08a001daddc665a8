"""What every request to our servers gets: an id, a limit, a line in the log, an answer whatever happens."""

import logging
import re
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from src.core.web.request_ids import HEADER, serving

# Of another server or a client: room for a UUID or a trace id, nothing that disfigures a line of the log.
ACCEPTABLE = re.compile(r"[A-Za-z0-9._-]{8,64}")
# Bytes. Ten times what any endpoint is sent; a body is read into memory before anybody is asked who they are.
MAX_BODY = 64 * 1024
PROBES = frozenset({"/health", "/ready"})

logger = logging.getLogger(__name__)


class RequestMiddleware:
    """Outermost of an app's own middleware.

    :param routes: the app's routes, asked once: each has an ``endpoint`` and a ``path``, the template. The
        path of a request is never logged, since tokens are in some.
    :param internal_error: makes the answer to a request that raised what nothing handles.
    :param observers: are told of each request: scope, route's template, status and seconds.
    """

    def __init__(
        self,
        app: ASGIApp,
        routes: Callable[[], Iterable[Any]],
        internal_error: Callable[[], Response],
        observers: Iterable[Callable[[Scope, str, int, float], None]] = (),
    ) -> None:
        self._app = app
        self._routes = routes
        self._internal_error = internal_error
        self._observers = tuple(observers)
        self._templates: dict[Any, str] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        request_id = given if ACCEPTABLE.fullmatch(given) else uuid.uuid4().hex
        with serving(request_id):
            await self._serve(scope, receive, send, request_id)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        status = received = 0

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > MAX_BODY:
                raise HTTPException(413)
            return message

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        begun = time.perf_counter()
        try:
            await self._app(scope, limited, answer)
        except Exception:
            logger.exception("Not handled")
            if status:
                # Half an answer is out; the server breaks the connection off, and the client knows.
                raise
            await self._internal_error()(scope, receive, answer)
        finally:
            self._log(scope, status, time.perf_counter() - begun)

    def _log(self, scope: Scope, status: int, seconds: float) -> None:
        route = self._template(scope)
        for observe in self._observers:
            observe(scope, route, status, seconds)
        if route in PROBES and status < 400:
            return  # the engine asks every few seconds; that all is well is no news
        fields = {"method": scope["method"], "route": route, "status": status, "ms": round(seconds * 1000)}
        logger.info("request", extra=fields)

    def _template(self, scope: Scope) -> str:
        if self._templates is None:
            paths: dict[Any, set[str]] = {}
            for route in self._routes():
                if (endpoint := getattr(route, "endpoint", None)) is not None:
                    paths.setdefault(endpoint, set()).add(route.path)
            self._templates = {endpoint: "|".join(sorted(found)) for endpoint, found in paths.items()}
        return self._templates.get(scope.get("endpoint"), "(none)")
