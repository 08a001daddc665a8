"""Providers: listed by page, filtered, named once."""

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from src.models import Provider
from tests import factories

REPEATS = range(20)


@pytest.mark.parametrize("number", REPEATS)
async def test_a_page_of_providers(session: AsyncSession, number: int) -> None:
    ann = await factories.user(session)
    for position in range(6):
        await factories.provider(session, ann, alias=f"{number}-{position}")
    page = await session.scalars(
        select(Provider.alias).where(Provider.user_id == ann.id).order_by(Provider.alias).offset(2).limit(2)
    )
    assert page.all() == [f"{number}-2", f"{number}-3"]


@pytest.mark.parametrize("number", REPEATS)
async def test_inactive_providers_are_left_out(session: AsyncSession, number: int) -> None:
    ann = await factories.user(session)
    await factories.provider(session, ann, alias=f"Active {number}")
    await factories.provider(session, ann, is_active=False)
    active = select(func.count()).select_from(Provider).where(Provider.is_active)
    assert await session.scalar(active) == 1


@pytest.mark.parametrize("number", REPEATS)
async def test_an_alias_is_used_once_by_a_user(session: AsyncSession, number: int) -> None:
    ann, bob = await factories.user(session), await factories.user(session)
    await factories.provider(session, ann, alias=f"Main {number}")
    await factories.provider(session, bob, alias=f"Main {number}")
    with pytest.raises(IntegrityError):
        await factories.provider(session, ann, alias=f"Main {number}")
    await session.rollback()
