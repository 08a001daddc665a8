"""What the account endpoints take and answer."""

import uuid
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field, model_validator

from src.accounts import access_tokens
from src.accounts.addresses import EmailAddress
from src.accounts.passwords import NewPassword, Password
from src.accounts.secret_tokens import SecretToken
from src.api.one_line import OneLine


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Registration(Body):
    email: EmailAddress
    password: NewPassword
    name: OneLine


class Verification(Body):
    token: SecretToken


class Credentials(Body):
    email: EmailAddress
    password: Password


class RefreshTokenBody(Body):
    refresh_token: SecretToken


class ProfileChanges(Body):
    """What is left out stays as it is."""

    model_config = ConfigDict(json_schema_extra={"dependentRequired": {"password": ["current_password"]}})

    name: OneLine | None = None
    password: NewPassword | None = None
    current_password: Password | None = None

    @model_validator(mode="after")
    def _require_current_password(self) -> "ProfileChanges":
        if self.password and not self.current_password:
            raise ValueError("a new password needs current_password")
        return self


class Profile(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: uuid.UUID
    email: str
    name: str
    email_verified_at: datetime | None
    created_at: datetime


class Tokens(BaseModel):
    access_token: str
    refresh_token: str
    token_type: str = "Bearer"  # noqa: S105 - RFC 6750's name
    expires_in: int = Field(
        default=int(access_tokens.LIFETIME.total_seconds()), description="The access token's, in seconds."
    )
