"""What is counted, under which labels. Where it is served: tests/integration/test_metrics.py."""

import httpx
from fastapi import FastAPI
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from starlette.responses import PlainTextResponse

from src.core.web.metrics import Metrics
from src.core.web.requests import RequestMiddleware

Series = dict[tuple[str, str, str], float]


def requests(metrics: Metrics) -> Series:
    text = generate_latest(metrics.registry).decode()
    return {
        (sample.labels["method"], sample.labels["route"], sample.labels["status"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "http_requests_total"
    }


async def counted(*asked: tuple[str, str]) -> tuple[Series, str]:
    metrics, app = Metrics(), FastAPI()
    app.add_middleware(
        RequestMiddleware,
        routes=lambda: app.routes,
        internal_error=lambda: PlainTextResponse("failed", 500),
        observers=[metrics.observe],
    )

    @app.get("/people/{email}")
    async def person(email: str) -> str:
        if email == "nobody@example.org":
            raise ValueError(email)
        return "found"

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://app") as client:
        for method, path in asked:
            await client.request(method, path)
    return requests(metrics), generate_latest(metrics.registry).decode()


async def test_a_route_is_its_template() -> None:
    found, text = await counted(
        ("GET", "/people/ann@example.org?token=s3cret"), ("GET", "/people/bob@example.org")
    )
    assert found == {("GET", "/people/{email}", "200"): 2}
    assert 'http_request_duration_seconds_count{method="GET",route="/people/{email}"} 2.0' in text
    assert "example.org" not in text
    assert "s3cret" not in text


async def test_a_request_that_fails_is_counted_with_the_answer_it_got() -> None:
    found, _ = await counted(("GET", "/people/nobody@example.org"))
    assert found == {("GET", "/people/{email}", "500"): 1}


async def test_nobody_can_make_series_up() -> None:
    found, text = await counted(
        *(("GET", f"/no/such/{number}") for number in range(20)),
        *((f"VERB{number}", "/no/such/path") for number in range(20)),
    )
    assert found == {("GET", "(none)", "404"): 20, ("other", "(none)", "404"): 20}
    assert text.count("http_request_duration_seconds_count{") == 2


def test_the_process_is_described() -> None:
    text = generate_latest(Metrics().registry).decode()
    for name in ("process_resident_memory_bytes", "process_open_fds", "python_gc_collections_total"):
        assert f"\n{name}" in text
    assert "_created" not in text
