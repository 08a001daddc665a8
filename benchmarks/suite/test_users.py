"""Users: found, unique, deleted."""

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from src.models import Provider, User
from tests import factories

REPEATS = range(20)


@pytest.mark.parametrize("number", REPEATS)
async def test_a_user_is_found_by_address(session: AsyncSession, number: int) -> None:
    for other in range(5):
        await factories.user(session, email=f"user{number}-{other}@example.org")
    found = await session.scalar(select(User).where(User.email == f"user{number}-3@example.org"))
    assert found is not None
    assert await session.scalar(select(func.count()).select_from(User)) == 5


@pytest.mark.parametrize("number", REPEATS)
async def test_an_address_belongs_to_one_user(session: AsyncSession, number: int) -> None:
    await factories.user(session, email=f"ann{number}@example.org")
    with pytest.raises(IntegrityError):
        await factories.user(session, email=f"ann{number}@example.org")
    await session.rollback()
    assert await session.scalar(select(func.count()).select_from(User)) == 1


@pytest.mark.parametrize("number", REPEATS)
async def test_providers_go_with_their_user(session: AsyncSession, number: int) -> None:
    ann, bob = await factories.user(session), await factories.user(session)
    await factories.provider(session, ann, alias=f"Savings {number}")
    kept = await factories.provider(session, bob)
    await session.delete(ann)
    await session.commit()
    assert (await session.scalars(select(Provider.id))).all() == [kept.id]
