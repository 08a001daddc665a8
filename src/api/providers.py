import uuid
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from src.api.authorization import ContextDependency
from src.api.dependencies import CurrentUser, SessionDependency
from src.api.one_line import OneLine
from src.connections import providers, revoking
from src.connections.providers import Standing
from src.core.web.problems import responses
from src.models.provider import ConnectionStatus

PER_PAGE = 100
# Nobody has as many, and PostgreSQL's OFFSET is a bigint.
PAGES = 1_000_000

router = APIRouter(prefix="/providers", tags=["providers"], responses=responses(401, 422))


ProviderKey = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,50}$", examples=["schwab"])]


class NewProvider(BaseModel):
    model_config = ConfigDict(extra="forbid")

    provider_key: ProviderKey = Field(description="A key of /provider-types.")
    alias: OneLine = Field(description="The user's own name for it, unlike those of their others.")


class ProviderChanges(BaseModel):
    """What is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")

    alias: OneLine | None = None
    is_active: bool | None = Field(default=None, description="Off, it is neither connected nor refreshed.")

    @model_validator(mode="before")
    @classmethod
    def _no_nulls(cls, data: Any) -> Any:
        if isinstance(data, dict) and any(data.get(name, "") is None for name in cls.model_fields):
            raise ValueError("leave out what is not to be changed; null is no value")
        return data


class ProviderOut(BaseModel):
    id: uuid.UUID
    provider_key: str
    alias: str
    is_active: bool
    status: ConnectionStatus
    connected_at: AwareDatetime | None
    created_at: AwareDatetime
    updated_at: AwareDatetime

    @classmethod
    def of(cls, standing: Standing) -> "ProviderOut":
        connected_at = standing.connection.connected_at if standing.connection else None
        return cls(**standing.provider.model_dump(), status=standing.status, connected_at=connected_at)


class ProviderPage(BaseModel):
    items: list[ProviderOut]
    page: int
    per_page: int
    total: int = Field(description="How many there are on all pages.")
    pages: int


@router.post("", status_code=201, responses=responses(400, 409))
async def create_provider(
    user: CurrentUser, context: ContextDependency, body: NewProvider, response: Response
) -> ProviderOut:
    """Add a provider, which is not connected yet: see its authorization."""
    standing = await providers.create(context, user, provider_key=body.provider_key, alias=body.alias)
    response.headers["Location"] = f"/api/v1/providers/{standing.provider.id}"
    await context.session.commit()
    return ProviderOut.of(standing)


@router.get("")
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
        Query(description="`-` turns the order."),
    ] = "created_at",
    provider_key: Annotated[ProviderKey | None, Query()] = None,
    status: Annotated[ConnectionStatus | None, Query()] = None,
    is_active: Annotated[bool | None, Query()] = None,
) -> ProviderPage:
    """The user's own providers. A page behind the last is empty."""
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
        items=[ProviderOut.of(standing) for standing in found],
        page=page,
        per_page=per_page,
        total=total,
        pages=-(-total // per_page),
    )


@router.get("/{provider_id}", responses=responses(404))
async def get_provider(user: CurrentUser, session: SessionDependency, provider_id: uuid.UUID) -> ProviderOut:
    return ProviderOut.of(await providers.get(session, user.id, provider_id))


@router.patch("/{provider_id}", responses=responses(400, 404, 409))
async def change_provider(
    user: CurrentUser, context: ContextDependency, provider_id: uuid.UUID, body: ProviderChanges
) -> ProviderOut:
    standing = await providers.update(context, user, provider_id, body.model_dump(exclude_unset=True))
    await context.session.commit()
    return ProviderOut.of(standing)


@router.delete("/{provider_id}", status_code=204, responses=responses(404))
async def delete_provider(user: CurrentUser, context: ContextDependency, provider_id: uuid.UUID) -> None:
    """Remove it with its connection and tokens, which are revoked at a provider that has where."""
    await revoking.delete_provider(context, user.id, provider_id)
