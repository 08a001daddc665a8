"""A Schwab that costs nothing and knows nobody: Schwab itself has no sandbox.

    python -m src.fake_schwab [--reload]

An OAuth 2.0 authorization server for one registered client: authorization code (RFC 6749, 4.1) with PKCE
S256 (RFC 7636), refresh (RFC 6749, 6) and revocation (RFC 7009), over TLS. It is written from the RFCs and
not on Authlib's server side, because the app is a client by Authlib: a rule that the library reads wrongly
would be on both sides, and agree. What it grants is kept in memory and gone with the process.

For development and tests alone: it does not start where ENVIRONMENT is production.

A browser, which asks for ``text/html``, gets a page with buttons; any other client is sent back at once. What
goes wrong is chosen by ``Switches``: for one connection on that page, for all by ``PATCH /control/switches``.
"""

from pydantic import Field, SecretStr, model_validator
from starlette.applications import Starlette
from starlette.routing import Route

from src.core import logs
from src.core.config import ServerSettings, load
from src.core.web.server import serve
from src.fake_schwab.endpoints import Endpoints
from src.fake_schwab.provider import FakeSchwab


class FakeSchwabSettings(ServerSettings):
    """The one client that is registered here, and the port inside."""

    fake_schwab_port: int = Field(default=9443, ge=1, le=65535)
    schwab_api_key: str = Field(min_length=1)
    schwab_api_secret: SecretStr = Field(min_length=1)
    schwab_redirect_uri: str

    @model_validator(mode="after")
    def _never_in_production(self) -> "FakeSchwabSettings":
        if self.environment == "production":
            raise ValueError("ENVIRONMENT: is production, where nobody may be connected to a fake provider")
        return self


def create_app(provider: FakeSchwab | None = None) -> Starlette:
    """The server for ``provider``, by default for the client that the process environment names."""
    if provider is None:
        settings = load(FakeSchwabSettings)
        client_secret = settings.schwab_api_secret.get_secret_value()
        logs.configure(settings.log_level, hide=[client_secret])
        provider = FakeSchwab(settings.schwab_api_key, client_secret, settings.schwab_redirect_uri)
    endpoints = Endpoints(provider)
    return Starlette(
        routes=[
            Route("/health", endpoints.health),
            Route("/v1/oauth/authorize", endpoints.authorize, methods=["GET", "POST"]),
            Route("/v1/oauth/token", endpoints.token, methods=["POST"]),
            Route("/v1/oauth/revoke", endpoints.revoke, methods=["POST"]),
            Route("/control/switches", endpoints.switches, methods=["GET", "PATCH", "DELETE"]),
            Route("/control/grants", endpoints.grants, methods=["DELETE"]),
        ]
    )


def main() -> int:
    return serve("src.fake_schwab", FakeSchwabSettings, lambda settings: settings.fake_schwab_port)
