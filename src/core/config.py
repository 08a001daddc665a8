"""Typed settings, read from the process environment and from nowhere else.

No ``.env`` file is read: inside a container the environment is complete, and a file lying about must not
change what runs. Every process loads only the class that it needs, so that the callback server never sees a
database URL and the running app never sees the owner's.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

if TYPE_CHECKING:
    from sqlalchemy import URL

PLACEHOLDER = re.compile(r"change[-_ ]?me|placeholder|your[-_ ]|replace[-_ ]|example|^<.*>$", re.IGNORECASE)
SECRET_LENGTH = 32
SECRET_DISTINCT_CHARACTERS = 10


class ConfigurationError(Exception):
    """What is wrong with the environment: one line per variable, without any secret."""


def _strong(secret: SecretStr) -> SecretStr:
    value = secret.get_secret_value()
    advice = "remove it from env/local.<env>.yml, and the next playbook run generates a random one"
    if PLACEHOLDER.search(value):
        raise ValueError(f"is a placeholder; {advice}")
    if len(value) < SECRET_LENGTH:
        raise ValueError(f"has {len(value)} characters, {SECRET_LENGTH} are the least; {advice}")
    if len(set(value)) < SECRET_DISTINCT_CHARACTERS:
        raise ValueError(f"repeats too few different characters; {advice}")
    return secret


def _database_url(secret: SecretStr) -> SecretStr:
    from sqlalchemy.exc import ArgumentError

    form = "the form is postgresql+asyncpg://role:password@host:port/database, its password percent-encoded"
    try:
        url = parse_database_url(secret)
    except (ArgumentError, ValueError):
        # The parser's own message repeats the URL, password included.
        raise ValueError(f"cannot be parsed; {form}") from None
    if url.drivername != "postgresql+asyncpg":
        raise ValueError(f"has another driver; {form}")
    if not (url.username and url.password and url.host and url.database):
        raise ValueError(f"lacks the role, password, host or database; {form}")
    if PLACEHOLDER.search(url.password):
        raise ValueError(
            "has a placeholder for a password; run the environment's playbook, which generates one"
        )
    return secret


def parse_database_url(secret: SecretStr) -> "URL":
    """The URL's parts. SQLAlchemy is imported here because the callback server does without it."""
    from sqlalchemy import make_url

    return make_url(secret.get_secret_value())


Secret = Annotated[SecretStr, AfterValidator(_strong)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url)]


class Environment(BaseSettings):
    """How all settings are read; variables are upper case and no other spelling counts."""

    model_config = SettingsConfigDict(
        alias_generator=str.upper,
        case_sensitive=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        populate_by_name=True,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings


class OwnerSettings(Environment):
    """The owner's access, for migrations, initialisations and test fixtures; never for the running app."""

    database_url: DatabaseUrl
    app_database_url: DatabaseUrl

    @property
    def owner(self) -> "URL":
        return parse_database_url(self.database_url)

    @property
    def runtime(self) -> "URL":
        return parse_database_url(self.app_database_url)


class ServerSettings(Environment):
    """What every HTTPS server of ours needs."""

    environment: Literal["development", "testing", "production"]
    debug: bool = False
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    ssl_enabled: bool = True
    tls_cert_file: Path = Path("/app/certs/cert.pem")
    tls_key_file: Path = Path("/app/certs/key.pem")
    tls_ca_file: Path | None = None

    @model_validator(mode="after")
    def _no_debug_in_production(self) -> "ServerSettings":
        if self.environment == "production" and self.debug:
            raise ValueError("DEBUG: must be false where ENVIRONMENT is production")
        return self


class Settings(ServerSettings):
    """The app process. The database role is the runtime role, which owns nothing."""

    testing: bool = False
    app_port: int = Field(default=8000, ge=1, le=65535)
    db_echo: bool = False
    app_database_url: DatabaseUrl
    redis_url: SecretStr
    secret_key: Secret
    encryption_key: Secret
    # Empty until the developer has an account with Schwab; everything but connecting to Schwab works without.
    schwab_api_key: SecretStr = SecretStr("")
    schwab_api_secret: SecretStr = SecretStr("")
    schwab_redirect_uri: str = "https://127.0.0.1:8182"

    @model_validator(mode="after")
    def _testing_stays_in_testing(self) -> "Settings":
        if self.testing and self.environment != "testing":
            raise ValueError("TESTING: may be true only where ENVIRONMENT is testing")
        return self


class CallbackSettings(ServerSettings):
    """The callback server: no database, no Redis, no key."""

    callback_port: int = Field(default=8182, ge=1, le=65535)
    app_url: str = "https://app:8000"


S = TypeVar("S", bound=Environment)


def load(settings: type[S], **values: Any) -> S:
    """Read ``settings`` from the environment; what is wrong becomes one line per variable."""
    try:
        return settings(**values)
    except ValidationError as error:
        raise ConfigurationError("\n".join(_line(problem) for problem in error.errors())) from None


def _line(problem: Any) -> str:
    name = str(problem["loc"][0]) if problem["loc"] else ""
    if problem["type"] == "missing":
        return (
            f"{name}: is not set; start this through the environment's playbook, which gives every variable"
        )
    message = problem["msg"].removeprefix("Value error, ")
    return f"{name}: {message}" if name else message
