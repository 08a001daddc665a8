"""The kinds of providers that can be connected."""

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import Field

from src.api.dependencies import CurrentUser, ProviderTypes
from src.api.schemas import Schema
from src.core.web.problems import Problem, responses
from src.provider_types import ProviderType

router = APIRouter(prefix="/provider-types", tags=["provider types"], responses=responses(401))


class ProviderTypeOut(Schema):
    """A kind of provider that can be connected."""

    key: str
    name: str
    is_configured: bool = Field(description="Whether this service has credentials for it.")
    can_revoke: bool = Field(description="Whether revoking reaches the provider, or only forgets the tokens.")
    consent_lifetime: int | None = Field(description="Seconds after which a person must consent again.")

    @classmethod
    def from_provider_type(cls, provider_type: ProviderType) -> "ProviderTypeOut":
        lifetime = provider_type.refresh_token_lifetime
        return cls(
            key=provider_type.key,
            name=provider_type.name,
            is_configured=provider_type.is_configured,
            can_revoke=provider_type.revoke_url is not None,
            consent_lifetime=None if lifetime is None else int(lifetime.total_seconds()),
        )


@router.get("", summary="List provider types")
async def list_provider_types(user: CurrentUser, provider_types: ProviderTypes) -> list[ProviderTypeOut]:
    """All supported provider types, in the order of their names. Add a provider with the `key` of one."""
    return [ProviderTypeOut.from_provider_type(provider_type) for provider_type in provider_types.values()]


@router.get("/{key}", summary="Get a provider type", responses=responses(404, 422))
async def get_provider_type(
    user: CurrentUser, provider_types: ProviderTypes, key: Annotated[str, Path(max_length=50)]
) -> ProviderTypeOut:
    """One provider type, by its key."""
    if key not in provider_types:
        raise Problem(404, "provider-type-not-found", "There is no such provider type.")
    return ProviderTypeOut.from_provider_type(provider_types[key])
