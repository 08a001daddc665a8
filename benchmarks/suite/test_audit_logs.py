"""The audit log: appended, searched, kept."""

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from src.models import ProviderAuditLog
from src.models.provider import AuditOutcome
from tests import factories

REPEATS = range(20)


@pytest.mark.parametrize("number", REPEATS)
async def test_entries_are_appended(session: AsyncSession, number: int) -> None:
    for attempt in range(5):
        details = {"attempt": attempt, "round": number}
        await factories.save(
            session, ProviderAuditLog(action="connect", outcome=AuditOutcome.SUCCESS, details=details)
        )
    assert await session.scalar(select(func.count()).select_from(ProviderAuditLog)) == 5


@pytest.mark.parametrize("number", REPEATS)
async def test_failures_are_found(session: AsyncSession, number: int) -> None:
    for outcome in (AuditOutcome.SUCCESS, AuditOutcome.FAILURE):
        await factories.save(session, ProviderAuditLog(action=f"refresh-{number}", outcome=outcome))
    failures = select(ProviderAuditLog).where(ProviderAuditLog.outcome == AuditOutcome.FAILURE)
    (found,) = (await session.scalars(failures)).all()
    assert found.action == f"refresh-{number}"


@pytest.mark.parametrize("number", REPEATS)
async def test_entries_outlive_their_user(session: AsyncSession, number: int) -> None:
    ann = await factories.user(session)
    entry = ProviderAuditLog(user_id=ann.id, action=f"connect-{number}", outcome=AuditOutcome.SUCCESS)
    await factories.save(session, entry)
    await session.delete(ann)
    await session.commit()
    session.expunge_all()
    assert (await session.scalars(select(ProviderAuditLog.user_id))).one() == ann.id
