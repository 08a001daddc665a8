"""All that the OpenAPI document allows, and what it forbids: each answer is one that it has, none a 500."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
import requests
import schemathesis
from schemathesis import Case, HookContext
from schemathesis.checks import positive_data_acceptance
from schemathesis.config import SchemathesisConfig
from sqlalchemy import NullPool, delete
from sqlalchemy.ext.asyncio import AsyncSession

from src.accounts import access_tokens
from src.connections import tokens
from src.connections.oauth_client import Grant
from src.core.config import Settings, load
from src.core.database import engine_of
from src.core.redis import tls_arguments
from src.core.security.encryption import Keyring
from src.core.test_databases import clones
from src.main import create_app
from src.models import ProviderToken, User
from tests import factories
from tests.api.fake_schwab import Served
from tests.api.served import served
from tests.properties import HealthCheck, Phase
from tests.properties import settings as hypothesis_settings
from tests.services import SCRATCH, of_database

# pytest.ini loads no plugin that only one module needs.
pytest_plugins = ["schemathesis.pytest.plugin"]
# Beyond those that every constraint of the document gives by itself, twenty-odd for an operation.
EXAMPLES = 10
OWN = uuid.UUID("3f1f9a3e-5a52-4d6e-9d0b-0c8a8c6f1f10")
# Of each it hands a lot to hypothesis, which counts requests that a slow machine answers as slow strategies.
SLOW = list(HealthCheck)

schema = schemathesis.openapi.from_dict(
    create_app(load(Settings)).openapi(), config=SchemathesisConfig.from_dict({"seed": 1})
)


@schema.hook
def map_path_parameters(context: HookContext, values: dict[str, Any] | None) -> dict[str, Any] | None:
    """Half of the random ids are that of a provider that is there."""
    with suppress(ValueError):  # what is no UUID is to be refused
        if values and "provider_id" in values and uuid.UUID(str(values["provider_id"])).int % 2:
            return values | {"provider_id": str(OWN)}
    return values


@pytest.fixture(scope="module")
def settings(_fake_schwab_served: Served) -> Iterator[Settings]:
    """A database of its own, for commits are real."""
    update = {
        "app_database_url": of_database(asyncio.run(clones.clone(os.environ, SCRATCH))).app_database_url,
        "redis_key_prefix": f"{SCRATCH}:",
    }
    yield load(Settings).model_copy(update=update | _fake_schwab_served.app_settings)
    asyncio.run(clones.drop(os.environ, SCRATCH))


@pytest.fixture(scope="module")
def url(settings: Settings) -> Iterator[str]:
    with served(create_app(settings)) as url:
        yield url


@asynccontextmanager
async def database(settings: Settings) -> AsyncIterator[AsyncSession]:
    engine = engine_of(settings.runtime, poolclass=NullPool)
    async with AsyncSession(engine, expire_on_commit=False) as session:
        yield session
    await engine.dispose()


async def connected(settings: Settings) -> str:
    """A user with a connected provider, new ones for each operation. Their access token."""
    async with database(settings) as session:
        await session.execute(delete(User))
        user = await factories.user(session)
        provider = await factories.provider(session, user, id=OWN)
        connection = await factories.connection(session, provider)
        later = datetime.now(UTC) + timedelta(minutes=30)
        # As the app does it: what is encrypted contains the row's id.
        row = ProviderToken(
            connection_id=connection.id, access_token_encrypted=b"", key_id="", expires_at=later
        )
        keyring = Keyring.parse(settings.encryption_key.get_secret_value())
        tokens.write(row, keyring, Grant("access", "refresh", None, "Bearer", "api", later))
        await factories.save(session, row)
        return access_tokens.issue(user.id, settings.secret_key, user.id)


@pytest.fixture
def session(settings: Settings) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {asyncio.run(connected(settings))}"
        yield session


@pytest.fixture
def limits(settings: Settings) -> Iterator[Callable[[], None]]:
    """Forgets all attempts: refused for their number, requests would prove nothing."""
    with redis.Redis.from_url(settings.redis_url.get_secret_value(), **tls_arguments(settings)) as client:

        def forget() -> None:
            if keys := list(client.scan_iter(f"{settings.redis_key_prefix}*", count=1000)):
                client.delete(*keys)

        yield forget
        forget()


@schema.parametrize()
@hypothesis_settings(
    max_examples=EXAMPLES,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=SLOW,
)
def test_every_answer_is_documented(
    case: Case[Any], settings: Settings, url: str, session: requests.Session, limits: Callable[[], None]
) -> None:
    limits()
    case.call_and_validate(
        base_url=url,
        session=session,
        verify=str(settings.tls_ca_file),
        # What a value means is in no schema: which kinds of characters a password has, what was mailed.
        excluded_checks=[positive_data_acceptance],
    )
