"""Every answer that is an error, in one form: problem details (RFC 9457)."""

import logging
import socket
from http import HTTPStatus
from typing import Any, cast

import asyncpg
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from src.core.web.request_ids import current_request_id

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:dashtam:problem:"

logger = logging.getLogger(__name__)


class Problem(Exception):
    """Raised anywhere below an endpoint, it is the answer.

    ``code`` names the kind for programs (lower case, hyphens), ``detail`` tells a person what to do,
    ``extra`` are further members of the body. None may repeat a secret, or what the client sent.
    """

    def __init__(
        self, status: int, code: str, detail: str, headers: dict[str, str] | None = None, **extra: Any
    ) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = headers
        self.extra = extra


class ServiceUnavailable(Problem):
    """Something that the request needs does not answer now. Nothing is said about what."""

    def __init__(self) -> None:
        super().__init__(
            503,
            "service-unavailable",
            "A service behind this one does not answer. Try again soon.",
            headers={"Retry-After": "5"},
        )


class InternalError(Problem):
    def __init__(self) -> None:
        super().__init__(500, "internal-error", "This is our fault. Tell us the request id.")


class ProblemDetails(BaseModel):
    """An error (RFC 9457)."""

    type: str = Field(examples=["urn:dashtam:problem:not-found"])
    title: str
    status: int
    detail: str
    request_id: str | None


class ValidationProblemError(BaseModel):
    loc: list[str | int]
    msg: str
    type: str


class ValidationProblemDetails(ProblemDetails):
    """What of the request is not as documented."""

    errors: list[ValidationProblemError]


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The ``responses=`` of an endpoint or a router that can answer with these statuses."""
    return {status: _documented(status) for status in statuses}


def _documented(status: int) -> dict[str, Any]:
    model = "ValidationProblemDetails" if status == 422 else "ProblemDetails"
    return {
        "description": HTTPStatus(status).phrase,
        "content": {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{model}"}}},
    }


def answer(problem: Problem) -> Response:
    return JSONResponse(
        {
            "type": TYPE + problem.code,
            "title": HTTPStatus(problem.status).phrase,
            "status": problem.status,
            "detail": problem.detail,
            "request_id": current_request_id(),
            **problem.extra,
        },
        problem.status,
        problem.headers,
        MEDIA_TYPE,
    )


# What drivers raise where a server is away, starting, stopping or full. SQLAlchemy's dialect lets some of the
# exceptions of asyncpg and of the system pass as they are.
UNAVAILABLE: tuple[type[Exception], ...] = (
    RedisError,
    PoolTimeoutError,
    OperationalError,
    InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    ConnectionError,
    TimeoutError,
    socket.gaierror,
)
# The same as classes of SQLSTATE (PostgreSQL's appendix A): connections that broke in use, and those that a
# server refused, which SQLAlchemy wraps from 2.1 on.
UNAVAILABLE_CLASSES = ("08", "28", "3D", "53", "57")


def is_unavailable(error: Exception) -> bool:
    """Whether ``error`` says that a service does not answer now, not that the request or the app is wrong."""
    if isinstance(error, UNAVAILABLE):
        return True
    if not isinstance(error, DBAPIError):
        return False
    state = getattr(error.orig, "sqlstate", None) or ""
    return error.connection_invalidated or state.startswith(UNAVAILABLE_CLASSES)


def install(app: FastAPI) -> None:
    """Make every error of ``app`` a problem, and its OpenAPI document say so."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    for error in UNAVAILABLE:
        app.add_exception_handler(error, _unavailable)
    app.add_exception_handler(DBAPIError, _database_error)
    undocumented = app.openapi
    # "Extending OpenAPI" in FastAPI's documentation.
    app.openapi = lambda: app.openapi_schema or _document(undocumented())  # type: ignore[method-assign]  # its way


async def _problem(request: Request, error: Exception) -> Response:
    return answer(cast(Problem, error))


async def _http_exception(request: Request, error: Exception) -> Response:
    """What Starlette and FastAPI raise by themselves: no such path, method or body."""
    raised = cast(HTTPException, error)
    phrase = HTTPStatus(raised.status_code).phrase
    headers = dict(raised.headers) if raised.headers else None
    if raised.status_code == 405:
        headers = {"Allow": ", ".join(sorted(_methods(request)))}
    return answer(Problem(raised.status_code, phrase.lower().replace(" ", "-"), f"{phrase}.", headers))


def _methods(request: Request) -> set[str]:
    """What the path can be asked (RFC 9110, 10.2.1); Starlette names the methods of one route alone."""
    return {
        method
        for route in iter_route_contexts(request.app.routes)
        if route.matches(request.scope)[0] is not Match.NONE
        for method in route.methods or ()
    }


async def _invalid_request(request: Request, error: Exception) -> Response:
    errors = [_validation_error(each) for each in cast(RequestValidationError, error).errors()]
    return answer(Problem(422, "invalid-request", "The request is not as documented.", errors=errors))


def _validation_error(error: dict[str, Any]) -> dict[str, Any]:
    """Where and what, without what was sent: not as ``input``, and not as a part of the message either."""
    loc, msg = list(error["loc"]), str(error["msg"])
    if error["type"] == "extra_forbidden":
        loc.pop()  # a name that the client made up
    for name in ("error", "reason", "tag"):
        if isinstance(said := error.get("ctx", {}).get(name), str):
            msg = msg.partition(said)[0].rstrip(" ,:'")
    return {"loc": loc, "msg": msg.removeprefix("Value error, "), "type": error["type"]}


async def _unavailable(request: Request, error: Exception) -> Response:
    logger.warning("A service does not answer: %s: %s", type(error).__name__, error)
    return answer(ServiceUnavailable())


async def _database_error(request: Request, error: Exception) -> Response:
    if is_unavailable(error):
        return await _unavailable(request, error)
    raise error


def _document(document: dict[str, Any]) -> dict[str, Any]:
    """Add the models, and what every operation can answer: FastAPI cannot give an error a media type."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    _, definitions = models_json_schema(
        [(ProblemDetails, "serialization"), (ValidationProblemDetails, "serialization")],
        ref_template="#/components/schemas/{model}",
    )
    schemas.update(definitions["$defs"])
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for path, operations in document["paths"].items():
        for operation in operations.values():
            documented = operation["responses"]
            if "422" in documented:
                documented["422"] = _documented(422)
            always = (500, 503) if path.startswith("/api/") else (500,)
            # A body that is no UTF-8 is not even one that is not as documented.
            for status in (400, 413, *always) if "requestBody" in operation else always:
                documented.setdefault(str(status), _documented(status))
    return document
