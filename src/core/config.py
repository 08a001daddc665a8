"""Typed settings, read from the process environment and from files of secrets (:mod:`src.core.secret_files`).

No ``.env`` file is read: inside a container the environment is complete, and a file lying about must not
change what runs. Every process loads only the class that it needs, so that the callback server never sees a
database URL and the running app never sees the owner's.
"""

import ipaddress
import ssl
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from src.core.database_address import DatabaseAddress
from src.core.mail_settings import MailSettings
from src.core.secret_files import SecretFileError, secret_files
from src.core.security import secret_strength
from src.core.security.encryption import Keyring
from src.core.security.tls import server_context


class ConfigurationError(Exception):
    """What is wrong with the environment: one line per variable, without any secret."""


def _strong(secret: SecretStr) -> SecretStr:
    try:
        secret_strength.check(secret.get_secret_value())
    except ValueError as error:
        raise ValueError(
            f"{error}; remove it from env/local.<env>.yml, and the next playbook run generates a random one"
        ) from None
    return secret


def _keys(secret: SecretStr) -> SecretStr:
    try:
        Keyring.parse(secret.get_secret_value())
    except ValueError as error:
        raise ValueError(f"{error}, to be put into env/local.<env>.yml") from None
    return secret


def _database_url(secret: SecretStr) -> SecretStr:
    try:
        address = DatabaseAddress.parse(secret.get_secret_value())
    except ValueError:
        # Nothing of the URL is repeated: any part of a malformed one may be the password.
        raise ValueError(
            "cannot be read; the form is postgresql+asyncpg://role:password@host:port/database, "
            "role, password and database percent-encoded, nothing after the database"
        ) from None
    if secret_strength.PLACEHOLDER.search(address.password):
        raise ValueError("has a placeholder for a password; run the environment's playbook, which makes one")
    return secret


def _networks(value: str) -> str:
    """Addresses and networks, as uvicorn reads them; what it cannot read it takes for a name, in silence."""
    given = [item.strip() for item in value.split(",") if item.strip()]
    for item in given:
        try:
            network = ipaddress.ip_network(item)
        except ValueError as error:
            raise ValueError(
                f"{error}; list the proxies' addresses or networks, as 10.0.0.7,192.0.2.0/24"
            ) from None
        if network.prefixlen == 0:
            raise ValueError(f"{item} is everybody, and everybody could then claim any address")
    return ",".join(given)


Secret = Annotated[SecretStr, AfterValidator(_strong)]
EncryptionKeys = Annotated[SecretStr, AfterValidator(_keys)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url)]


def _server_context(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return server_context(ca_file)
    except OSError as error:
        raise ConfigurationError(
            f"TLS_CA_FILE: {ca_file}: {error.strerror or error}; run the environment's playbook"
        ) from None


class Environment(BaseSettings):
    """How all settings are read; variables are upper case and no other spelling counts."""

    model_config = SettingsConfigDict(
        alias_generator=str.upper,
        case_sensitive=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
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
        # Not pydantic's own source: it strips all spaces, and an empty variable would hide the file.
        files = secret_files(name.upper() for name in settings_cls.model_fields)
        return init_settings, InitSettingsSource(settings_cls, files), env_settings

    def secret_values(self) -> list[str]:
        """Every secret in these settings by itself: each key, and of a URL its password. For the logs."""
        values: list[str] = []
        for name in type(self).model_fields:
            if isinstance(secret := getattr(self, name), SecretStr):
                value = secret.get_secret_value()
                values += [urlsplit(value).password or ""] if "://" in value else value.split(",")
        return [value.strip() for value in values if value.strip()]


class DatabaseSettings(Environment):
    """The access of the runtime role."""

    app_database_url: DatabaseUrl
    # URLs say nothing about it: the guard of the test database refuses one with a query string.
    postgres_tls: bool = False
    tls_ca_file: Path | None = None
    # Whether a database whose schema is newer than the code will do (docs/expand-and-contract.md).
    schema_ahead: Literal["refuse", "accept"] = "refuse"

    @property
    def runtime(self) -> DatabaseAddress:
        return self._address(self.app_database_url)

    def _address(self, url: SecretStr) -> DatabaseAddress:
        written = url.get_secret_value()
        if not self.postgres_tls:
            return DatabaseAddress.parse(written)
        return DatabaseAddress.parse(written, _server_context(self.tls_ca_file))


class OwnerSettings(DatabaseSettings):
    """The owner's access, for migrations, initialisations and test fixtures; never for the running app."""

    database_url: DatabaseUrl

    @property
    def owner(self) -> DatabaseAddress:
        return self._address(self.database_url)


class ServerSettings(Environment):
    """What every HTTPS server of ours needs."""

    environment: Literal["development", "testing", "production"]
    debug: bool = False
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    ssl_enabled: bool = True
    tls_cert_file: Path = Path("/app/certs/cert.pem")
    tls_key_file: Path = Path("/app/certs/key.pem")
    tls_ca_file: Path | None = None
    # Proxies whose X-Forwarded-For and X-Forwarded-Proto count, by default none.
    trusted_proxies: Annotated[str, AfterValidator(_networks)] = ""

    @model_validator(mode="after")
    def _no_debug_in_production(self) -> "ServerSettings":
        if self.environment == "production" and self.debug:
            raise ValueError("DEBUG: must be false where ENVIRONMENT is production")
        return self


class Settings(MailSettings, ServerSettings, DatabaseSettings):
    """The app process. The database role is the runtime role, which owns nothing."""

    testing: bool = False
    app_port: int = Field(default=8000, ge=1, le=65535)
    # Where Prometheus finds numbers; unset, nowhere.
    metrics_port: int | None = Field(default=None, ge=1, le=65535)
    db_echo: bool = False
    redis_url: SecretStr
    secret_key: Secret
    encryption_key: EncryptionKeys
    # Empty until the developer has an account with Schwab; everything but connecting to Schwab works without.
    schwab_api_key: SecretStr = SecretStr("")
    schwab_api_secret: SecretStr = SecretStr("")
    schwab_redirect_uri: str = "https://127.0.0.1:8182"
    # Schwab has no sandbox: where the fake one is used, the playbook gives its addresses.
    schwab_authorize_url: str = "https://api.schwabapi.com/v1/oauth/authorize"
    schwab_token_url: str = "https://api.schwabapi.com/v1/oauth/token"  # noqa: S105 - an address
    # What the callback server shows, so that nobody else can redeem or complete an authorization.
    relay_token: Secret
    # Where mailed links lead.
    public_url: str = "https://localhost:8000"
    # Tests that share a Redis give each worker its own.
    redis_key_prefix: str = "dashtam:"

    @model_validator(mode="after")
    def _testing_stays_in_testing(self) -> "Settings":
        if self.testing and self.environment != "testing":
            raise ValueError("TESTING: may be true only where ENVIRONMENT is testing")
        return self

    @model_validator(mode="after")
    def _metrics_are_not_public(self) -> "Settings":
        if self.metrics_port == self.app_port:
            raise ValueError("METRICS_PORT: must not be APP_PORT, which is published")
        return self


class CallbackSettings(ServerSettings):
    """The callback server: no database, no Redis, no key; only what lets it speak to the app."""

    callback_port: int = Field(default=8182, ge=1, le=65535)
    app_url: str = "https://app:8000"
    relay_token: Secret


S = TypeVar("S", bound=Environment)


def load(settings: type[S]) -> S:
    """Read ``settings`` from environment and files; what is wrong becomes one line per variable."""
    try:
        return settings()
    except ValidationError as error:
        raise ConfigurationError("\n".join(_line(problem) for problem in error.errors())) from None
    except SecretFileError as error:
        raise ConfigurationError(str(error)) from None


def _line(problem: Any) -> str:
    name = str(problem["loc"][0]) if problem["loc"] else ""
    if problem["type"] == "missing":
        return (
            f"{name}: is not set; start this through the environment's playbook, which gives every variable"
        )
    message = problem["msg"].removeprefix("Value error, ")
    return f"{name}: {message}" if name else message
