"""Who commits, and when.

A request's session commits when the endpoint has returned, before the response is sent
(:mod:`src.api.dependencies`). An exception rolls back. So everything below an endpoint only flushes, and the
few places that must commit earlier call one of these functions, which says why. A test keeps it so;
docs/decisions/0011-who-commits.md has the reasons.
"""

from sqlalchemy.ext.asyncio import AsyncSession


async def commit_despite_refusal(session: AsyncSession) -> None:
    """Keep what was changed although the response may be an error: a counted attempt, a revoked login."""
    await session.commit()


async def commit_before_mail(session: AsyncSession) -> None:
    """Make sure that the link in a mail works before the mail is sent."""
    await session.commit()


async def commit_before_waiting(session: AsyncSession) -> None:
    """Free the connection and all row locks before waiting for a provider, or for another request."""
    await session.commit()


async def commit_to_learn_the_outcome(session: AsyncSession) -> None:
    """Commit where the caller still has to act if that fails: tokens that cannot be stored are revoked."""
    await session.commit()
