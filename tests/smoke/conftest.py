"""The environment's running containers, as a client sees them: run inside the app container."""

from collections.abc import AsyncIterator

import httpx
import pytest

from src.core.config import Settings, load
from src.core.tls import client_context

APP = "https://app:8000"
CALLBACK = "https://callback:8182"


@pytest.fixture(scope="session")
def settings() -> Settings:
    return load(Settings)


@pytest.fixture
async def http(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client that trusts our CA beside the system's and verifies everything."""
    async with httpx.AsyncClient(verify=client_context(settings.tls_ca_file)) as client:
        yield client
