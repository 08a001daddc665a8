"""Charles Schwab, Trader API.

Schwab's own guides need an account. What stands here is what independent clients agree on:
https://schwab-py.readthedocs.io/en/stable/auth.html,
https://rdrr.io/cran/schwabr/man/schwab_auth3_accessToken.html (30 minutes, 7 days) and
https://github.com/tylerebowers/Schwabdev/issues/61 (a code is good for 30 seconds).
"""

from datetime import timedelta

from src.core.config import Settings
from src.provider_types import ProviderType


def define(settings: Settings) -> ProviderType:
    return ProviderType(
        key="schwab",
        name="Charles Schwab",
        client_id=settings.schwab_api_key.get_secret_value(),
        client_secret=settings.schwab_api_secret,
        redirect_uri=settings.schwab_redirect_uri,
        authorize_url=settings.schwab_authorize_url,
        token_url=settings.schwab_token_url,
        # None is documented: a person ends the access on Schwab's own pages, or it ends after 7 days.
        revoke_url=None,
        # Schwab grants `api`, also where nothing is asked for.
        scopes=(),
        client_auth_method="client_secret_basic",
        access_token_lifetime=timedelta(minutes=30),
        # From the consent on: no refresh prolongs it, and no answer names it.
        refresh_token_lifetime=timedelta(days=7),
        # The second is what Schwab says of a bad refresh token:
        # https://github.com/tylerebowers/Schwabdev/issues/40
        consent_lost=frozenset({"invalid_grant", "unsupported_token_type"}),
        is_fake=settings.schwab_token_url != Settings.model_fields["schwab_token_url"].default,
    )
