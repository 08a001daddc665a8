"""What the account endpoints take and answer."""

import uuid
from datetime import datetime

from pydantic import ConfigDict, Field, model_validator

from src.accounts import access_tokens
from src.accounts.addresses import EmailAddress
from src.accounts.passwords import NewPassword, Password
from src.accounts.secret_tokens import SecretToken
from src.api.one_line import OneLine
from src.api.schemas import RequestSchema, Schema


class Registration(RequestSchema):
    email: EmailAddress
    password: NewPassword
    name: OneLine


class Verification(RequestSchema):
    token: SecretToken


class Credentials(RequestSchema):
    email: EmailAddress
    password: Password


class RefreshTokenBody(RequestSchema):
    refresh_token: SecretToken


class ProfileChanges(RequestSchema):
    """Omitted fields keep their values."""

    model_config = ConfigDict(json_schema_extra={"dependentRequired": {"password": ["current_password"]}})

    name: OneLine | None = None
    password: NewPassword | None = None
    current_password: Password | None = None

    @model_validator(mode="after")
    def _require_current_password(self) -> "ProfileChanges":
        if self.password and not self.current_password:
            raise ValueError("a new password needs current_password")
        return self


class Profile(Schema):
    id: uuid.UUID
    email: str
    name: str
    is_active: bool = Field(description="An account that is not active can do nothing.")
    email_verified: bool
    email_verified_at: datetime | None
    created_at: datetime


class Tokens(Schema):
    access_token: str
    refresh_token: str
    token_type: str = "Bearer"  # noqa: S105 - RFC 6750's name
    expires_in: int = Field(
        default=int(access_tokens.LIFETIME.total_seconds()), description="The access token's, in seconds."
    )
