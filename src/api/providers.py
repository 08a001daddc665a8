"""The providers of a user."""

import uuid
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import AwareDatetime, Field, model_validator

from src.api.dependencies import ContextDependency, CurrentUser, SessionDependency
from src.api.one_line import OneLine
from src.api.schemas import RequestSchema, Schema
from src.connections import providers, revoking
from src.connections.providers import ProviderSnapshot
from src.core.web.problems import responses
from src.models.provider import ConnectionStatus

PER_PAGE = 100
# Nobody has as many, and PostgreSQL's OFFSET is a bigint.
PAGES = 1_000_000

router = APIRouter(prefix="/providers", tags=["providers"], responses=responses(401, 422))


ProviderKey = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,50}$", examples=["schwab"])]


class NewProvider(RequestSchema):
    provider_key: ProviderKey = Field(description="A key of /provider-types.")
    alias: OneLine = Field(description="Your own name for it. Each of your providers has another.")


class ProviderChanges(RequestSchema):
    """Omitted fields keep their values."""

    alias: OneLine | None = None
    is_active: bool | None = Field(
        default=None, description="If false, it is neither connected nor refreshed."
    )

    @model_validator(mode="before")
    @classmethod
    def _no_nulls(cls, data: Any) -> Any:
        if isinstance(data, dict) and any(data.get(name, "") is None for name in cls.model_fields):
            raise ValueError("leave out what is not to be changed; null is no value")
        return data


class ProviderOut(Schema):
    id: uuid.UUID
    provider_key: str
    alias: str
    is_active: bool
    status: ConnectionStatus
    connected_at: AwareDatetime | None
    created_at: AwareDatetime
    updated_at: AwareDatetime

    @classmethod
    def from_snapshot(cls, snapshot: ProviderSnapshot) -> "ProviderOut":
        connected_at = snapshot.connection.connected_at if snapshot.connection else None
        return cls(**snapshot.provider.model_dump(), status=snapshot.status, connected_at=connected_at)


class ProviderPage(Schema):
    items: list[ProviderOut]
    page: int
    per_page: int
    total: int = Field(description="How many there are on all pages.")
    pages: int


@router.post("", summary="Add a provider", status_code=201, responses=responses(400, 409))
async def create_provider(
    user: CurrentUser, context: ContextDependency, body: NewProvider, response: Response
) -> ProviderOut:
    """Add one of your accounts at a provider type, under a name of your own.

    **Next:** start its authorization with the `id` in the response; it is not connected yet.
    """
    snapshot = await providers.create(context, user, provider_key=body.provider_key, alias=body.alias)
    response.headers["Location"] = f"/api/v1/providers/{snapshot.provider.id}"
    return ProviderOut.from_snapshot(snapshot)


@router.get("", summary="List your providers")
async def list_providers(
    user: CurrentUser,
    session: SessionDependency,
    page: Annotated[int, Query(ge=1, le=PAGES)] = 1,
    per_page: Annotated[int, Query(ge=1, le=PER_PAGE)] = 20,
    sort: Annotated[
        Literal[
            "alias",
            "-alias",
            "created_at",
            "-created_at",
            "provider_key",
            "-provider_key",
            "status",
            "-status",
        ],
        Query(description="`-` reverses the order."),
    ] = "created_at",
    provider_key: Annotated[ProviderKey | None, Query()] = None,
    status: Annotated[ConnectionStatus | None, Query()] = None,
    is_active: Annotated[bool | None, Query()] = None,
) -> ProviderPage:
    """Your providers, a page at a time. A page after the last one is empty."""
    found, total = await providers.search(
        session,
        user,
        page=page,
        per_page=per_page,
        sort=sort,
        provider_key=provider_key,
        status=status,
        is_active=is_active,
    )
    return ProviderPage(
        items=[ProviderOut.from_snapshot(snapshot) for snapshot in found],
        page=page,
        per_page=per_page,
        total=total,
        pages=-(-total // per_page),
    )


@router.get("/{provider_id}", summary="Get a provider", responses=responses(404))
async def get_provider(user: CurrentUser, session: SessionDependency, provider_id: uuid.UUID) -> ProviderOut:
    """One of your providers. Somebody else's is not found."""
    return ProviderOut.from_snapshot(await providers.get(session, user.id, provider_id))


@router.patch("/{provider_id}", summary="Change a provider", responses=responses(400, 404, 409))
async def change_provider(
    user: CurrentUser, context: ContextDependency, provider_id: uuid.UUID, body: ProviderChanges
) -> ProviderOut:
    """Rename a provider, or switch it off or on. Omitted fields keep their values."""
    snapshot = await providers.update(context, user, provider_id, body.model_dump(exclude_unset=True))
    return ProviderOut.from_snapshot(snapshot)


@router.delete("/{provider_id}", summary="Remove a provider", status_code=204, responses=responses(404))
async def delete_provider(user: CurrentUser, context: ContextDependency, provider_id: uuid.UUID) -> None:
    """Remove a provider with its connection and tokens.

    The tokens are also revoked at the provider, if it supports that.
    """
    await revoking.delete_provider(context, user.id, provider_id)
