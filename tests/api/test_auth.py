"""Who asks."""

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from src.api.dependencies import CurrentUser, SessionDependency
from src.models import User
from tests.api.conftest import Login


@pytest.fixture(autouse=True)
def _echo(app: FastAPI) -> None:
    router = APIRouter()

    @router.patch("/echo")
    async def echo(user: CurrentUser, session: SessionDependency) -> str:
        user.name = f"{user.name} was here"
        await session.commit()
        return user.email

    app.include_router(router)


async def test_app_and_test_share_a_transaction(
    client: httpx.AsyncClient, user: User, other_user: User, login: Login, session: AsyncSession
) -> None:
    response = await client.patch("/echo", headers=login(user))
    assert (response.status_code, response.json()) == (200, "ann@example.org")
    session.expire_all()
    assert set(await session.scalars(select(User.name))) == {"Ann was here", "Bob"}


async def test_nobody_is_nobody(client: httpx.AsyncClient) -> None:
    response = await client.patch("/echo")
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
