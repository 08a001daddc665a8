"""Spans as a collector receives them, over OTLP."""

import http.server
import threading
import time
from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from starlette.responses import PlainTextResponse

from src.core.web.requests import RequestMiddleware
from src.core.web.tracing import Traces

CALLER = "0af7651916cd43dd8448eb211c80319c"


class Collector(http.server.ThreadingHTTPServer):
    """Keeps what it was sent."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received: list[bytes] = []


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Collector)
        self.server.received.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with Collector() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
        yield server
        server.shutdown()


async def ask(*paths: str) -> None:
    traces, app = Traces(), FastAPI()
    app.add_middleware(
        RequestMiddleware,
        routes=lambda: app.routes,
        internal_error=lambda: PlainTextResponse("failed", 500),
        observers=[traces.observe],
    )

    @app.get("/people/{email}")
    async def person(email: str) -> str:
        if email == "nobody@example.org":
            raise ValueError(email)
        return "found"

    async with (
        traces.exported(),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://app") as client,
    ):
        for path in paths:
            await client.get(path, headers={"traceparent": f"00-{CALLER}-b7ad6b7169203331-01"})


async def test_a_span_has_the_template_and_its_caller(collector: Collector) -> None:
    await ask("/people/ann@example.org?token=s3cret", "/people/nobody@example.org", "/no/such/s3cret")
    (sent,) = collector.received
    assert b"example.org" not in sent
    assert b"s3cret" not in sent
    (resource,) = ExportTraceServiceRequest.FromString(sent).resource_spans
    attributes = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert attributes["service.name"] == "shop"
    spans = [span for scope in resource.scope_spans for span in scope.spans]
    assert {span.trace_id.hex() for span in spans} == {CALLER}
    found = [
        (span.name, span.status.code, {each.key: each.value.int_value for each in span.attributes})
        for span in spans
    ]
    assert [(name, code, values["http.response.status_code"]) for name, code, values in found] == [
        ("GET /people/{email}", 0, 200),
        ("GET /people/{email}", 2, 500),
        ("GET (none)", 0, 404),
    ]
    assert all(0 <= span.end_time_unix_nano - span.start_time_unix_nano < 5e9 for span in spans)


@pytest.mark.parametrize("variable", ["OTEL_SDK_DISABLED", "OTEL_EXPORTER_OTLP_ENDPOINT"])
async def test_it_is_off_unless_asked_for(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "true" if variable == "OTEL_SDK_DISABLED" else "")
    await ask("/people/ann@example.org")
    assert collector.received == []


async def test_a_collector_that_is_away_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    begun = time.monotonic()
    await ask("/people/ann@example.org")
    assert time.monotonic() - begun < 10
