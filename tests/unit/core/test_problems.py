"""What a client is told when something is wrong: always a problem, never more than it may know."""

import json
import socket
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from fastapi import FastAPI, HTTPException, Query
from pydantic import BaseModel, ConfigDict, EmailStr, Field, field_validator
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from src.core.web.problems import MEDIA_TYPE, InternalError, Problem, answer, install, responses
from src.core.web.requests import RequestMiddleware

SECRET = "hunter2-hunter2"


class Account(BaseModel):
    model_config = ConfigDict(extra="forbid")

    email: EmailStr
    password: str = Field(min_length=40)
    parent: UUID
    kind: str
    age: int = 1

    @field_validator("kind")
    @classmethod
    def _known(cls, value: str) -> str:
        raise ValueError("is not a known kind")


class Broken(Exception):
    """As asyncpg's errors are, once SQLAlchemy has wrapped them."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__(SECRET)
        self.sqlstate = sqlstate


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI()
    install(app)
    app.add_middleware(
        RequestMiddleware, routes=lambda: app.routes, internal_error=lambda: answer(InternalError())
    )

    @app.get("/api/problem", responses=responses(409))
    async def problem() -> None:
        raise Problem(409, "name-taken", "Choose another.", {"Retry-After": "7"}, alias="Mine")

    @app.post("/api/accounts", status_code=201)
    async def accounts(account: Account, page: Annotated[int, Query(ge=1)] = 1) -> None:
        """Nothing gets here."""

    @app.get("/api/accounts")
    async def list_accounts() -> None:
        """Another method of the same path."""

    @app.get("/api/legacy")
    async def legacy() -> None:
        raise HTTPException(403, {"password": SECRET})

    return app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    # Exceptions that reach the server would fail the test: a client has its answer instead.
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://app") as client:
        yield client


def problem_of(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    body: dict[str, Any] = response.json()
    assert response.status_code == status
    assert response.headers["content-type"] == MEDIA_TYPE
    assert body["type"] == f"urn:dashtam:problem:{code}"
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == response.headers["x-request-id"]
    return body


async def test_a_problem_is_the_answer(client: httpx.AsyncClient) -> None:
    response = await client.get("/api/problem")
    body = problem_of(response, 409, "name-taken")
    assert body["title"] == "Conflict"
    assert body["detail"] == "Choose another."
    assert body["alias"] == "Mine"
    assert response.headers["retry-after"] == "7"


async def test_no_such_path(client: httpx.AsyncClient) -> None:
    problem_of(await client.get("/api/none"), 404, "not-found")


async def test_no_such_method(client: httpx.AsyncClient) -> None:
    response = await client.delete("/api/accounts")
    problem_of(response, 405, "method-not-allowed")
    assert response.headers["allow"] == "GET, POST"


async def test_a_body_that_is_no_text(client: httpx.AsyncClient) -> None:
    response = await client.post(
        "/api/accounts", content=b"\xff", headers={"Content-Type": "application/json"}
    )
    problem_of(response, 400, "bad-request")


async def test_what_others_raise_says_no_more_than_its_status(client: httpx.AsyncClient) -> None:
    response = await client.get("/api/legacy")
    assert problem_of(response, 403, "forbidden")["detail"] == "Forbidden."
    assert SECRET not in response.text


async def test_invalid_input_is_located_and_not_repeated(client: httpx.AsyncClient) -> None:
    response = await client.post(
        "/api/accounts",
        params={"page": SECRET},
        json={
            "email": f"ann {SECRET}@exa mple",
            "password": SECRET,
            "parent": f"z{SECRET}",
            "kind": SECRET,
            "age": SECRET,
            SECRET: SECRET,
        },
    )
    body = problem_of(response, 422, "invalid-request")
    assert {tuple(error["loc"]): error["msg"] for error in body["errors"]} == {
        ("query", "page"): "Input should be a valid integer, unable to parse string as an integer",
        ("body", "email"): "value is not a valid email address",
        ("body", "password"): "String should have at least 40 characters",
        ("body", "parent"): "Input should be a valid UUID",
        ("body", "kind"): "is not a known kind",
        ("body", "age"): "Input should be a valid integer, unable to parse string as an integer",
        ("body",): "Extra inputs are not permitted",
    }
    assert all(error.keys() == {"loc", "msg", "type"} for error in body["errors"])
    assert SECRET not in response.text


@pytest.mark.parametrize("content", ["{", f'{{"password": "{SECRET}', "\xff", "[1]", '"text"', "null"])
async def test_what_is_no_json_object_is_invalid_input(client: httpx.AsyncClient, content: str) -> None:
    response = await client.post(
        "/api/accounts", content=content, headers={"Content-Type": "application/json"}
    )
    assert response.status_code in {400, 422}
    assert response.headers["content-type"] == MEDIA_TYPE
    assert SECRET not in response.text


async def test_a_body_that_would_fill_the_memory_is_not_read(client: httpx.AsyncClient) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b"{" + b" " * 1023

    for content in (endless(), b" " * 10**6):
        response = await client.post(
            "/api/accounts", content=content, headers={"Content-Type": "application/json"}
        )
        assert response.status_code == 413
        assert response.headers["content-type"] == MEDIA_TYPE
        assert response.json()["type"].endswith("-too-large")
    assert sent <= 66


@pytest.mark.parametrize(
    "error",
    [
        RedisConnectionError(SECRET),
        RedisTimeoutError(SECRET),
        PoolTimeoutError(SECRET),
        OperationalError("SELECT", None, Broken("08006")),
        InterfaceError("SELECT", None, Broken("")),
        DBAPIError("SELECT", None, Broken("57P01")),
        DBAPIError("SELECT", None, Broken("53300")),
        DBAPIError("SELECT", None, Broken("XX000"), connection_invalidated=True),
        asyncpg.CannotConnectNowError(SECRET),
        asyncpg.TooManyConnectionsError(SECRET),
        asyncpg.InvalidPasswordError(SECRET),
        asyncpg.ConnectionDoesNotExistError(SECRET),
        ConnectionRefusedError(SECRET),
        TimeoutError(SECRET),
        socket.gaierror(SECRET),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_does_not_answer_is_unavailable(
    app: FastAPI, client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    raising(app, error)
    response = await client.get("/api/raise")
    problem_of(response, 503, "service-unavailable")
    assert int(response.headers["retry-after"]) > 0
    assert SECRET not in response.text
    assert f"A service does not answer: {type(error).__name__}" in caplog.text
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    "error",
    [
        ValueError(SECRET),
        OSError(SECRET),
        FileNotFoundError(SECRET),
        IntegrityError("INSERT", None, Broken("23505")),
        DBAPIError("SELECT", None, Broken("42601")),
        DBAPIError("SELECT", None, Exception(SECRET)),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_nobody_handles_is_our_fault(
    app: FastAPI, client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    raising(app, error)
    response = await client.get("/api/raise")
    problem_of(response, 500, "internal-error")
    assert SECRET not in response.text
    assert "Traceback" in caplog.text


def raising(app: FastAPI, error: Exception) -> None:
    @app.get("/api/raise")
    async def endpoint() -> None:
        raise error


async def test_every_error_is_documented(app: FastAPI, client: httpx.AsyncClient) -> None:
    @app.get("/health")
    async def health() -> None:
        """Needs nothing."""

    document = (await client.get("/openapi.json")).json()
    paths = document["paths"]
    statuses = {path: set(next(iter(operations.values()))["responses"]) for path, operations in paths.items()}
    assert statuses["/api/problem"] == {"200", "409", "500", "503"}
    assert statuses["/api/accounts"] == {"201", "400", "413", "422", "500", "503"}
    assert statuses["/health"] == {"200", "500"}
    for operations in paths.values():
        for status, documented in next(iter(operations.values()))["responses"].items():
            if int(status) >= 400:
                assert documented["content"].keys() == {MEDIA_TYPE}
                model = "ValidationProblemDetails" if status == "422" else "ProblemDetails"
                assert documented["content"][MEDIA_TYPE]["schema"]["$ref"].endswith(f"/{model}")
    assert "HTTPValidationError" not in json.dumps(document)
    unresolved = [
        reference for reference in references(document) if reference not in document["components"]["schemas"]
    ]
    assert not unresolved


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"].rpartition("/")[2]] if isinstance(node.get("$ref"), str) else []
        return own + [each for value in node.values() for each in references(value)]
    return [each for value in node for each in references(value)] if isinstance(node, list) else []


async def test_the_document_is_made_once(app: FastAPI) -> None:
    make: Callable[[], dict[str, Any]] = app.openapi
    assert make() is make()
