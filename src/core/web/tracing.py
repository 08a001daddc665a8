"""A span for each request, sent where OpenTelemetry's own variables say; without them, nowhere.

https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/ and .../protocol/exporter/

A span has the method, the template of the route and the status. OpenTelemetry's instrumentation for ASGI
would add the path and the query, and tokens are in some.
"""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.types import Scope

from src.core.web.metrics import METHODS

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
# Seconds. A collector that does not answer must not hold up a reload.
PATIENCE = 2


def wanted() -> bool:
    """Whether the environment names a collector and does not switch the SDK off."""
    off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    return not off and any(os.environ.get(name) for name in ENDPOINTS)


class Traces:
    """What one app has to tell; nothing outside :meth:`exported`."""

    _tracer: "Tracer | None" = None

    @asynccontextmanager
    async def exported(self) -> AsyncIterator[None]:
        """Inside, spans are sent by a thread, in batches; what is left in the end has two seconds."""
        if not wanted():
            yield
            return
        # A third of a second, for whoever wants it.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        named = OTELResourceDetector().detect()
        resource = Resource({SERVICE_NAME: "dashtam"}).merge(named)
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = provider.get_tracer("dashtam")
        try:
            yield
        finally:
            self._tracer = None
            last = threading.Thread(target=provider.shutdown, daemon=True)
            last.start()
            await asyncio.to_thread(last.join, PATIENCE)

    def observe(self, scope: Scope, route: str, status: int, seconds: float) -> None:
        """Tell of a request that has just ended; its caller's span is in the header ``traceparent``."""
        if self._tracer is None:
            return
        from opentelemetry.trace import SpanKind, Status, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        ended, method = time.time_ns(), scope["method"] if scope["method"] in METHODS else "_OTHER"
        headers = Headers(scope=scope)
        # https://opentelemetry.io/docs/specs/semconv/http/http-spans/
        span = self._tracer.start_span(
            f"{method} {route}",
            context=TraceContextTextMapPropagator().extract(dict(headers)),
            kind=SpanKind.SERVER,
            start_time=ended - int(seconds * 1e9),
            attributes={
                "http.request.method": method,
                "http.route": route,
                "http.response.status_code": status,
            },
        )
        if status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        span.end(ended)
