"""A user's providers, with how they stand."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, func, literal, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from src.connections.audit import Action, AuditTarget
from src.connections.context import Context
from src.core.web.problems import Problem
from src.models import Provider, ProviderConnection, ProviderToken, User
from src.models.provider import CONNECTION_STATUS, ConnectionStatus

# What is marked active, but can be neither used nor refreshed, has expired; it is marked so when it is used.
_OVER: ColumnElement[bool] = and_(
    col(ProviderConnection.status) == ConnectionStatus.ACTIVE,
    col(ProviderToken.expires_at) <= func.now(),
    or_(
        col(ProviderToken.refresh_token_encrypted).is_(None),
        col(ProviderToken.refresh_expires_at) <= func.now(),
    ),
)
status_today: ColumnElement[ConnectionStatus] = case(
    (_OVER, literal(ConnectionStatus.EXPIRED, CONNECTION_STATUS)),
    else_=func.coalesce(col(ProviderConnection.status), literal(ConnectionStatus.PENDING, CONNECTION_STATUS)),
)
SORT = {
    "alias": col(Provider.alias),
    "created_at": col(Provider.created_at),
    "provider_key": col(Provider.provider_key),
    "status": status_today,
}


@dataclass(frozen=True)
class ProviderSnapshot:
    """What one read found: a provider, its connection and tokens if there are any, and its status then."""

    provider: Provider
    connection: ProviderConnection | None
    token: ProviderToken | None
    status: ConnectionStatus


def _snapshots() -> Select[Provider, ProviderConnection, ProviderToken, ConnectionStatus]:
    return (
        select(Provider, ProviderConnection, ProviderToken, status_today)
        .outerjoin(ProviderConnection, col(ProviderConnection.provider_id) == col(Provider.id))
        .outerjoin(ProviderToken, col(ProviderToken.connection_id) == col(ProviderConnection.id))
        .execution_options(populate_existing=True)
    )


def _snapshot(row: Any) -> ProviderSnapshot:
    return ProviderSnapshot(*row)


def not_found() -> Problem:
    return Problem(404, "provider-not-found", "You have no such provider.")


async def get(
    session: AsyncSession, user_id: uuid.UUID, provider_id: uuid.UUID, *, lock: bool = False
) -> ProviderSnapshot:
    """The user's own provider; anybody else's is as little there as none: :class:`Problem` 404.

    ``lock``: until the transaction ends, nobody else changes it, its connection or its tokens.
    """
    own = (col(Provider.id) == provider_id, col(Provider.user_id) == user_id)
    if lock:
        # A statement of its own: one that has waited for a row sees that row as it has become, but others,
        # its connection and tokens, as they were before (PostgreSQL, "Read Committed Isolation Level").
        await session.execute(select(col(Provider.id)).where(*own).with_for_update())
    row = (await session.execute(_snapshots().where(*own))).one_or_none()
    if row is None:
        raise not_found()
    return _snapshot(row)


async def search(
    session: AsyncSession,
    user: User,
    *,
    page: int,
    per_page: int,
    sort: str,
    provider_key: str | None = None,
    status: ConnectionStatus | None = None,
    is_active: bool | None = None,
) -> tuple[Sequence[ProviderSnapshot], int]:
    """One page, from 1 on, of those that fit, and how many fit. ``sort`` is a key of SORT, ``-`` turns it."""
    query = _snapshots().where(col(Provider.user_id) == user.id)
    if provider_key is not None:
        query = query.where(col(Provider.provider_key) == provider_key)
    if status is not None:
        query = query.where(status_today == status)
    if is_active is not None:
        query = query.where(col(Provider.is_active) == is_active)
    total = await session.scalar(select(func.count()).select_from(query.subquery()))
    order = SORT[sort.removeprefix("-")]
    query = query.order_by(order.desc() if sort.startswith("-") else order.asc(), col(Provider.id))
    rows = await session.execute(query.limit(per_page).offset((page - 1) * per_page))
    return [_snapshot(row) for row in rows], total or 0


async def create(context: Context, user: User, *, provider_key: str, alias: str) -> ProviderSnapshot:
    """Raises :class:`Problem`: 422 where there is no such type, 409 for an alias in use."""
    if provider_key not in context.oauth.provider_types:
        detail = "There is no such provider type. See /provider-types."
        # As every 422 is documented.
        error = {"loc": ["body", "provider_key"], "msg": detail, "type": "unknown_provider_type"}
        raise Problem(422, "unknown-provider-type", detail, errors=[error])
    provider = Provider(user_id=user.id, provider_key=provider_key, alias=alias)
    context.session.add(provider)
    await _flush(context.session)
    context.audit.record(Action.PROVIDER_CREATED, AuditTarget.from_provider(provider))
    await context.session.flush()
    return ProviderSnapshot(provider, None, None, ConnectionStatus.PENDING)


async def update(
    context: Context, user: User, provider_id: uuid.UUID, changes: Mapping[str, Any]
) -> ProviderSnapshot:
    """Change ``alias`` and ``is_active``. Raises :class:`Problem`: 404, and 409 for an alias in use."""
    snapshot = await get(context.session, user.id, provider_id, lock=True)
    provider = snapshot.provider
    changed = sorted(name for name, value in changes.items() if getattr(provider, name) != value)
    if changed:
        for name in changed:
            setattr(provider, name, changes[name])
        await _flush(context.session)
        context.audit.record(Action.PROVIDER_UPDATED, AuditTarget.from_provider(provider), changed=changed)
        await context.session.flush()
        await context.session.refresh(provider)
    return snapshot


async def _flush(session: AsyncSession) -> None:
    try:
        await session.flush()
    except IntegrityError as error:
        await session.rollback()
        if "uq_providers_user_id_alias" not in str(error.orig):
            raise
        raise Problem(409, "alias-taken", "You have a provider of this alias already.") from None
