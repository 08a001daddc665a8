"""A flow step by step, as callback server, browser and provider walk it: each step can be done otherwise."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from src.connections.audit import Action
from src.core.config import Settings
from src.core.security.tls import client_context
from src.models import Provider, ProviderAuditLog, ProviderConnection, ProviderToken, User
from tests.api.conftest import Login
from tests.api.fake_schwab import Served

IP_ADDRESS = "203.0.113.7"
USER_AGENT = "Browser/1.0"
BROWSER = {"ip_address": IP_ADDRESS, "user_agent": USER_AGENT}


@dataclass(frozen=True)
class Opened:
    """A browser on its way to the provider."""

    state: str
    authorization_url: str
    cookies: dict[str, str]


@dataclass(frozen=True)
class OAuthFlow:
    client: httpx.AsyncClient
    settings: Settings
    login: Login
    fake: Served

    async def relay(self, endpoint: str, body: dict[str, Any]) -> httpx.Response:
        """What the callback server asks of the app."""
        token = self.settings.relay_token.get_secret_value()
        return await self.client.post(
            f"/api/v1/internal/oauth/{endpoint}",
            json=BROWSER | body,
            headers={"Authorization": f"Bearer {token}"},
        )

    async def start(self, user: User, provider: Provider) -> dict[str, Any]:
        response = await self.client.post(
            f"/api/v1/providers/{provider.id}/authorization", headers=self.login(user)
        )
        assert response.status_code == 200, response.text
        link: dict[str, Any] = response.json()
        return link

    async def open(self, user: User, provider: Provider) -> Opened:
        link = await self.start(user, provider)
        query = dict(parse_qsl(urlsplit(link["auth_url"]).query))
        response = await self.relay("begin", query)
        assert response.status_code == 200, response.text
        answer = response.json()
        cookies = {answer["cookie_name"]: answer["cookie_value"]}
        return Opened(link["state"], answer["authorization_url"], cookies)

    async def consent(self, opened: Opened) -> dict[str, str]:
        """The parameters that the provider sends the browser back with."""
        context = client_context(self.settings.tls_ca_file)
        async with httpx.AsyncClient(verify=context, timeout=60) as browser:
            response = await browser.get(opened.authorization_url)
        assert response.status_code == 302, response.text
        query = parse_qs(urlsplit(response.headers["Location"]).query)
        return {name: value for name, (value,) in query.items() if name != "session"}

    async def complete(self, answer: dict[str, str], cookies: dict[str, str], **other: Any) -> httpx.Response:
        return await self.relay("complete", answer | {"cookies": cookies} | other)

    async def connect(self, user: User, provider: Provider) -> httpx.Response:
        """All of it."""
        opened = await self.open(user, provider)
        return await self.complete(await self.consent(opened), opened.cookies)

    def asked(self, grant_type: str) -> int:
        """How often the provider was asked for tokens, whatever it said."""
        return sum(each.grant_type == grant_type for each in self.fake.provider.answered)


async def stored(session: AsyncSession) -> tuple[int, int]:
    """How many connections and tokens there are."""
    connections = await session.scalar(select(func.count()).select_from(ProviderConnection))
    tokens = await session.scalar(select(func.count()).select_from(ProviderToken))
    return connections or 0, tokens or 0


async def audited(session: AsyncSession, *actions: Action) -> list[ProviderAuditLog]:
    """What was recorded, in order; of these actions only, if any are named."""
    query = select(ProviderAuditLog).order_by(ProviderAuditLog.occurred_at)
    if actions:
        query = query.where(col(ProviderAuditLog.action).in_(actions))
    return list(await session.scalars(query))
