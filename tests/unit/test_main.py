"""The app in this process, with everything it needs out of reach."""

import base64
import hashlib
import logging
import re

import httpx
import pytest
from fastapi import FastAPI

from src.core import logs
from src.core.config import ConfigurationError
from src.main import create_app


async def get(app: FastAPI, path: str) -> httpx.Response:
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://app") as client,
    ):
        return await client.get(path)


async def test_health_needs_nothing(environment: dict[str, str]) -> None:
    response = await get(create_app(), "/health")
    assert response.status_code == 200
    assert response.content == b'{"status":"ok"}'


async def test_not_ready_without_its_services(
    environment: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    response = await get(create_app(), "/ready")
    assert response.status_code == 503
    assert response.json() == {
        "status": "not ready",
        "checks": {"database": "unreachable", "redis": "unreachable", "migrations": "not at head"},
    }
    assert "Not ready: database" in caplog.text
    assert "s3cret" not in caplog.text + response.text


@pytest.mark.parametrize("path", ["/docs", "/openapi.json"])
async def test_documented_everywhere_but_in_production(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    assert (await get(create_app(), path)).status_code == 200
    for name, value in {"ENVIRONMENT": "production", "TESTING": "false", "DEBUG": "false"}.items():
        monkeypatch.setenv(name, value)
    assert (await get(create_app(), path)).status_code == 404


async def test_the_docs_need_nothing_from_elsewhere(environment: dict[str, str]) -> None:
    app = create_app()
    page = await get(app, "/docs")
    assert not re.search("https?://", page.text)
    (script,) = re.findall("<script>(.*?)</script>", page.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = page.headers["content-security-policy"]
    assert f"script-src 'self' 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';")
    files = re.findall('(?:src|href)="([^"]*)"', page.text)
    assert len(files) == 3
    for file in files:
        assert (await get(app, file)).status_code == 200
    assert (await get(app, "/docs/other.js")).status_code == 404


async def test_the_root_leads_to_the_docs_but_in_production(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    response = await get(create_app(), "/")
    assert (response.status_code, response.headers["location"]) == (307, "/docs")
    for name, value in {"ENVIRONMENT": "production", "TESTING": "false", "DEBUG": "false"}.items():
        monkeypatch.setenv(name, value)
    assert (await get(create_app(), "/")).status_code == 404


async def test_errors_are_problems_with_the_requests_id(environment: dict[str, str]) -> None:
    response = await get(create_app(), "/api/v1/none")
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["request_id"] == response.headers["x-request-id"]


async def test_ready_is_documented_with_both_answers(environment: dict[str, str]) -> None:
    document = create_app().openapi()
    documented = document["paths"]["/ready"]["get"]["responses"]
    for status in ("200", "503"):
        schema = documented[status]["content"]["application/json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/Readiness"}


async def test_the_page_leads_from_registration_to_a_connection(environment: dict[str, str]) -> None:
    document = create_app().openapi()
    operations = [
        operation for path in document["paths"].values() for operation in path.values() if "tags" in operation
    ]
    assert len(operations) > 15
    for operation in operations:
        assert operation["summary"], operation["operationId"]
        assert operation["description"], operation["operationId"]
    # The steps of the page's description are operations by the names that the page shows.
    named = re.findall(r"\*\*(.+?)\.?\*\*", document["info"]["description"])
    assert {step.lower() for step in named} - {"authorize"} == {
        "register an account",
        "log in",
        "list provider types",
        "add a provider",
        "start an authorization",
        "get the status of an authorization",
    }
    summaries = {operation["summary"].lower() for operation in operations}
    assert {step.lower() for step in named} - {"authorize"} <= summaries


async def test_no_secret_of_the_environment_is_logged(environment: dict[str, str]) -> None:
    app = create_app()
    printed = logs.handler().format(
        logging.makeLogRecord({"msg": "%s", "args": (" ".join(environment.values()),), "name": "any"})
    )
    assert app.state.keyring.ids
    for name in ("SECRET_KEY", "ENCRYPTION_KEY", "RELAY_TOKEN"):
        assert environment[name] not in printed
    assert "s3cret" not in printed


def test_does_not_start_on_a_bad_environment(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REDIS_URL")
    with pytest.raises(ConfigurationError, match="REDIS_URL"):
        create_app()
