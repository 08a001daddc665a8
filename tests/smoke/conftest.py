"""The environment's running containers, as clients see them: run inside the app container."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from src.accounts import secret_tokens
from src.core.config import OwnerSettings, Settings, load
from src.core.database_address import DatabaseAddress
from src.core.security.tls import client_context
from src.models.account import Purpose

APP = "https://app:8000"
CALLBACK = "https://callback:8182"
FAKE_SCHWAB = "https://fake-schwab:9443"
PASSWORD = "Correct-horse-7"
PATIENCE = 60  # seconds: a busy machine fails no test


@pytest.fixture(scope="session")
def settings() -> Settings:
    return load(Settings)


@pytest.fixture
async def http(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client that trusts our CA beside the system's and verifies everything."""
    async with httpx.AsyncClient(verify=client_context(settings.tls_ca_file), timeout=PATIENCE) as client:
        yield client


class ConnectTo(httpx.AsyncBaseTransport):
    """As curl's --connect-to: for some authorities, connect to others.

    All but the connection is as the URL says: cookies, Host, and the name that the certificate must have.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport, others: dict[str, str]) -> None:
        """``others``: origin of a URL to origin of the server to connect to."""
        self._inner = inner
        self._others = {httpx.URL(url): httpx.URL(other) for url, other in others.items()}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        other = self._others.get(request.url.copy_with(raw_path=b"/", fragment=None))
        if other is None:
            return await self._inner.handle_async_request(request)
        return await self._inner.handle_async_request(
            httpx.Request(
                request.method,
                request.url.copy_with(host=other.host, port=other.port),
                headers=request.headers,
                stream=request.stream,
                extensions=request.extensions | {"sni_hostname": request.url.host},
            )
        )

    async def aclose(self) -> None:
        await self._inner.aclose()


def origin(url: str) -> str:
    parts = httpx.URL(url)
    return str(parts.copy_with(raw_path=b"/", fragment=None))


Browsers = Callable[[], httpx.AsyncClient]


@pytest.fixture
async def browsers(settings: Settings) -> AsyncIterator[Browsers]:
    """Makes browsers on the person's machine, which reach what is published there; each has its cookies."""
    published = {
        origin(settings.public_url): APP,
        origin(settings.schwab_redirect_uri): CALLBACK,
        origin(settings.schwab_authorize_url): FAKE_SCHWAB,
    }
    made: list[httpx.AsyncClient] = []

    def browser() -> httpx.AsyncClient:
        transport = httpx.AsyncHTTPTransport(verify=client_context(settings.tls_ca_file))
        client = httpx.AsyncClient(
            transport=ConnectTo(transport, published), follow_redirects=True, timeout=PATIENCE
        )
        made.append(client)
        return made[-1]

    yield browser
    for client in made:
        await client.aclose()


async def connect(address: DatabaseAddress) -> asyncpg.Connection:
    return await asyncpg.connect(
        host=address.host,
        port=address.port,
        user=address.username,
        password=address.password,
        database=address.database,
        ssl=address.tls,
    )


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    """The app's own role."""
    connection = await connect(settings.runtime)
    yield connection
    await connection.close()


@dataclass(frozen=True)
class Account:
    user_id: str
    headers: dict[str, str] = field(repr=False)


@pytest.fixture(scope="session")
def account(settings: Settings) -> Iterator[Account]:
    """Somebody who registered, verified their address and logged in; gone with all they had in the end."""
    made = asyncio.run(register(settings))
    yield made
    for table, column in (("users", "id"), ("provider_audit_logs", "user_id")):
        asyncio.run(as_owner(f"DELETE FROM {table} WHERE {column} = $1", made.user_id))  # noqa: S608 - names above


async def register(settings: Settings) -> Account:
    address = f"smoke-{secrets.token_hex(8)}@example.org"
    context = client_context(settings.tls_ca_file)
    async with httpx.AsyncClient(base_url=f"{APP}/api/v1", verify=context, timeout=PATIENCE) as http:
        person = {"email": address, "password": PASSWORD, "name": "Smoke"}
        registered = await http.post("/auth/register", json=person)
        assert registered.status_code == 201, registered.text
        user_id = registered.json()["id"]
        # The mail is in the app's log, which nothing in here can read: another token takes its place.
        token = secret_tokens.new()
        database = await connect(settings.runtime)
        await database.execute(
            "INSERT INTO mailed_tokens (user_id, purpose, token_hash, expires_at) VALUES ($1, $2, $3, $4)",
            *(user_id, Purpose.VERIFY_EMAIL, secret_tokens.hashed(token)),
            datetime.now(UTC) + timedelta(hours=1),
        )
        await database.close()
        verified = await http.post("/auth/verify-email", json={"token": token})
        assert verified.status_code == 200, verified.text
        logged_in = await http.post("/auth/login", json={"email": address, "password": PASSWORD})
        assert logged_in.status_code == 200, logged_in.text
        return Account(user_id, {"Authorization": f"Bearer {logged_in.json()['access_token']}"})


@pytest.fixture(scope="session", autouse=True)
def _nobodys_failures() -> Iterator[None]:
    """`make test-verify` comes again to the same database: what is audited of nobody known goes, too."""
    before = asyncio.run(as_owner("SELECT now()"))
    yield
    nobodys = "DELETE FROM provider_audit_logs WHERE user_id IS NULL AND occurred_at >= $1"
    asyncio.run(as_owner(nobodys, before))


async def as_owner(statement: str, *arguments: Any) -> Any:
    """The app's own role cannot take anything out of the audit log."""
    database = await connect(load(OwnerSettings).owner)
    try:
        return await database.fetchval(statement, *arguments)
    finally:
        await database.close()
