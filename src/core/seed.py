"""A user to develop with, and a connected provider where the fake Schwab runs. As often as wanted.

    SEED_PASSWORD=... python -m src.core.seed [--email developer@dashtam.test]

The user is written into the database. The provider is connected as a person would do it: over the running
app, the callback server and the fake Schwab, which has to know what it granted. The last line is JSON:
``email``, ``user`` (created, updated or kept) and ``provider`` (connected, kept, or none where there is no
fake Schwab). Refused where ENVIRONMENT is production.
"""

import argparse
import asyncio
import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin, urlsplit, urlunsplit

import httpx2
from pydantic import SecretStr
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from src.accounts import passwords
from src.core import logs
from src.core.config import ConfigurationError, Settings, load
from src.core.database import create_engine, create_sessions
from src.core.security.tls import client_context
from src.models import User

EMAIL = "developer@dashtam.test"
NAME = "Developer"
ALIAS = "Fake Schwab"
FAKE = "fake-schwab"
# A browser's hops: the callback server, the fake Schwab, the callback server again, and its result's page.
HOPS = 4

logger = logging.getLogger(__name__)


class SeedError(Exception):
    """What is wrong and what to do, in one line."""


async def seed_user(settings: Settings, email: str, password: SecretStr) -> str:
    """Make the user, verified, active, not locked, with this password; ``created``, ``updated``, ``kept``."""
    engine = create_engine(settings)
    try:
        async with create_sessions(engine)() as session:
            user = (await session.scalars(select(User).filter_by(email=email))).one_or_none()
            done = "kept" if user else "created"
            if user is None or not await passwords.is_right(password, user.password_hash):
                done = "updated" if user else "created"
                user = user or User(email=email, name=NAME, password_hash="")
                user.password_hash = await passwords.hashed(password)
            user.email_verified_at = user.email_verified_at or datetime.now(UTC)
            user.is_active, user.failed_login_attempts, user.locked_until = True, 0, None
            session.add(user)
            await session.commit()
            return done
    finally:
        await engine.dispose()


async def seed_provider(settings: Settings, email: str, password: SecretStr) -> str:
    """Connect the user to the fake Schwab; ``connected``, ``kept`` or ``none``. Raises SeedError."""
    inside = urlsplit(settings.schwab_token_url).netloc
    if inside.partition(":")[0] != FAKE:
        return "none"
    # What a browser on the developer's machine calls otherwise than a container does.
    places = {
        urlsplit(settings.schwab_redirect_uri).netloc: "callback:8182",
        urlsplit(settings.schwab_authorize_url).netloc: inside,
    }
    app = f"https://localhost:{settings.app_port}/api/v1"
    context = client_context(settings.tls_ca_file)
    async with httpx2.AsyncClient(verify=context, timeout=30) as client:
        credentials = {"email": email, "password": password.get_secret_value()}
        tokens = await _answer(client, "POST", f"{app}/auth/login", json=credentials)
        client.headers["Authorization"] = f"Bearer {tokens['access_token']}"
        listed = await _answer(client, "GET", f"{app}/providers?provider_key=schwab&per_page=100")
        found = [each for each in listed["items"] if each["alias"] == ALIAS]
        if found and found[0]["status"] == "active":
            return "kept"
        new = {"provider_key": "schwab", "alias": ALIAS}
        provider = found[0] if found else await _answer(client, "POST", f"{app}/providers", json=new)
        link = await _answer(client, "POST", f"{app}/providers/{provider['id']}/authorization")
    async with httpx2.AsyncClient(verify=context, timeout=30) as browser:
        address = link["auth_url"]
        for _ in range(HOPS):
            parts = urlsplit(address)
            response = await browser.get(
                urlunsplit(parts._replace(netloc=places.get(parts.netloc, parts.netloc)))
            )
            if not response.has_redirect_location:
                break
            address = urljoin(address, response.headers["Location"])
        path, status = urlsplit(address).path, response.status_code
        # A page before the last one may wait for a person.
        if status != 200 or not path.startswith("/result/"):
            raise SeedError(f"the fake Schwab could not be connected: {path} answered {status}")
    return "connected"


async def _answer(client: httpx2.AsyncClient, method: str, url: str, **body: Any) -> Any:
    response = await client.request(method, url, **body)
    if response.is_error:
        # The app's own problem details, which repeat nothing that was sent.
        raise SeedError(
            f"{method} {urlsplit(url).path} answered {response.status_code}: {response.text[:200]}"
        )
    return response.json()


async def seed(settings: Settings, email: str, password: SecretStr) -> dict[str, str]:
    """Do both; what was done. Raises SeedError."""
    user = await seed_user(settings, email, password)
    provider = await seed_provider(settings, email, password)
    return {"email": email, "user": user, "provider": provider}


def main() -> int:
    logs.configure("INFO")
    parser = argparse.ArgumentParser(prog="python -m src.core.seed")
    parser.add_argument("--email", default=EMAIL)
    email = parser.parse_args().email.lower()
    password = os.environ.get("SEED_PASSWORD", "")
    try:
        settings = load(Settings)
        if settings.environment == "production":
            raise SeedError("ENVIRONMENT is production, where nobody gets an account with a known password")
        if not passwords.MIN_LENGTH <= len(password) <= passwords.MAX_LENGTH:
            raise SeedError(
                f"SEED_PASSWORD must have {passwords.MIN_LENGTH} to {passwords.MAX_LENGTH} characters"
            )
        logs.configure("WARNING", [*settings.secret_values(), password])
        done = asyncio.run(seed(settings, email, SecretStr(password)))
    except (ConfigurationError, SeedError) as error:
        for line in str(error).splitlines():
            logger.error("%s", line)
        return 1
    except (SQLAlchemyError, httpx2.HTTPError, OSError) as error:
        logger.error("%s; is the environment up? Start it: make dev", str(error).splitlines()[0])
        return 1
    sys.stdout.write(json.dumps(done) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
