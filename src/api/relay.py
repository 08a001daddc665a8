"""For the callback server alone, which shows RELAY_TOKEN: no part of the documented API."""

import dataclasses
import secrets
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import Field

from src.api.dependencies import ContextDependency, RateLimiterDependency, SettingsDependency
from src.api.schemas import Schema
from src.connections import connecting, results
from src.connections.audit import ClientInfo
from src.connections.connecting import AuthorizationResponse
from src.connections.context import Context
from src.core.web.problems import Problem
from src.core.web.rate_limits import FROM_ADDRESS, RateLimiter, network_of
from src.models.provider import ConnectionStatus

# Of one browser's address, links opened and answers brought together.
RATE = "60/minute"


def _callback_server(request: Request, settings: SettingsDependency) -> None:
    expected = f"Bearer {settings.relay_token.get_secret_value()}"
    given = request.headers.get("Authorization", "")
    if not secrets.compare_digest(given.encode(), expected.encode()):
        raise Problem(
            401,
            "not-the-callback-server",
            "Only the callback server may do this: its RELAY_TOKEN must be the app's.",
            headers={"WWW-Authenticate": "Bearer"},
        )


router = APIRouter(
    prefix="/internal/oauth", include_in_schema=False, dependencies=[Depends(_callback_server)]
)

Parameter = Annotated[str, Field(max_length=10_000)]


class Browser(Schema):
    """Who came to the callback server."""

    ip_address: Annotated[str, Field(max_length=100)] | None = None
    user_agent: Annotated[str, Field(max_length=10_000)] | None = None


class Begin(Browser):
    ticket: Parameter
    state: Parameter


class BeginOut(Schema):
    authorization_url: str
    cookie_name: str
    cookie_value: str
    max_age: int


class Complete(Browser):
    code: Parameter | None = None
    state: Parameter | None = None
    error: Parameter | None = None
    # For a person who reads English at the provider; nobody here repeats it.
    error_description: Parameter | None = None
    duplicated: list[Literal["code", "state", "error", "error_description"]] = Field(default_factory=list)
    cookies: dict[str, Parameter] = Field(default_factory=dict)


class CompleteOut(Schema):
    result: str


class Shown(Browser):
    result: Parameter


class ResultOut(Schema):
    """How an authorization ended, and how its provider stands now."""

    provider_name: str
    alias: str | None
    # The code of what went wrong, None if the provider was connected.
    problem: str | None
    at: datetime
    status: ConnectionStatus | Literal["removed"]
    fake: bool
    docs_url: str | None


@router.post("/begin")
async def begin(rate_limiter: RateLimiterDependency, context: ContextDependency, body: Begin) -> BeginOut:
    """A browser opened a link."""
    await _limit(rate_limiter, body)
    opened = await connecting.open_link(_from_browser(context, body), body.ticket, body.state)
    return BeginOut(**dataclasses.asdict(opened))


@router.post("/complete")
async def complete(
    rate_limiter: RateLimiterDependency, context: ContextDependency, body: Complete
) -> CompleteOut:
    """A browser came back from the provider."""
    await _limit(rate_limiter, body)
    response = AuthorizationResponse(
        code=body.code,
        state=body.state,
        error=body.error,
        repeated=tuple(body.duplicated),
        cookies=body.cookies,
    )
    return CompleteOut(result=await connecting.complete(_from_browser(context, body), response))


@router.post("/result")
async def result(rate_limiter: RateLimiterDependency, context: ContextDependency, body: Shown) -> ResultOut:
    """A browser shows how an authorization ended."""
    await _limit(rate_limiter, body, "oauth-result-per-address")
    found = results.unseal(context.oauth.keyring, body.result)
    snapshot = await found.snapshot(context.session)
    provider_type = context.oauth.provider_types.get(found.provider_key)
    settings = context.oauth.settings
    return ResultOut(
        provider_name=provider_type.name if provider_type else found.provider_key,
        alias=snapshot.provider.alias if snapshot else None,
        problem=found.problem,
        at=found.at,
        status=snapshot.status if snapshot else "removed",
        fake=provider_type is not None and provider_type.is_fake,
        docs_url=None if settings.environment == "production" else f"{settings.public_url.rstrip('/')}/docs",
    )


def _from_browser(context: Context, browser: Browser) -> Context:
    client_info = ClientInfo.from_request(browser.ip_address, browser.user_agent)
    return dataclasses.replace(context, audit=dataclasses.replace(context.audit, client_info=client_info))


async def _limit(
    rate_limiter: RateLimiter, browser: Browser, name: str = "oauth-callback-per-address"
) -> None:
    address = network_of(browser.ip_address or "")
    await rate_limiter.check(name, RATE, address, FROM_ADDRESS)
