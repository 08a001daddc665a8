"""The models in the real schema, by the role that the app has."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import selectinload
from sqlmodel import SQLModel

from src.models import Provider, ProviderAuditLog, ProviderConnection, ProviderToken, User
from src.models.provider import AuditOutcome, ConnectionStatus

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def user(email: str = "ann@example.org") -> User:
    return User(email=email, password_hash="$argon2id$not-a-real-hash", name="Ann")


def connected(owner: User, alias: str = "Main account") -> tuple[Provider, ProviderConnection, ProviderToken]:
    provider = Provider(user_id=owner.id, provider_key="schwab", alias=alias)
    connection = ProviderConnection(provider_id=provider.id)
    token = ProviderToken(
        connection_id=connection.id, access_token_encrypted=b"\x00\xff", key_id="k1", expires_at=NOW
    )
    return provider, connection, token


async def save(session: AsyncSession, *rows: SQLModel) -> None:
    """One flush a row: without relationships set, the order of insertion is ours."""
    for row in rows:
        session.add(row)
        await session.flush()


async def test_a_users_connection_from_end_to_end(session: AsyncSession) -> None:
    ann = user()
    await save(session, ann, *connected(ann))
    await session.commit()
    session.expunge_all()

    to_the_user = (
        selectinload(ProviderToken.connection)
        .selectinload(ProviderConnection.provider)
        .selectinload(Provider.user)
    )
    token = (await session.scalars(select(ProviderToken).options(to_the_user))).one()
    connection, provider = token.connection, token.connection.provider
    assert provider.user.email == "ann@example.org"
    assert (provider.alias, provider.provider_key, provider.is_active) == ("Main account", "schwab", True)
    assert connection.status is ConnectionStatus.PENDING
    assert token.access_token_encrypted == b"\x00\xff"
    assert token.expires_at == NOW
    assert token.refresh_token_encrypted is None
    assert (token.token_type, token.refresh_count) == ("Bearer", 0)


async def test_a_commit_ends_with_the_test(session: AsyncSession, owner: AsyncConnection) -> None:
    await save(session, user())
    await session.commit()
    assert await session.scalar(select(func.count()).select_from(User)) == 1
    assert await owner.scalar(select(func.count()).select_from(User)) == 0


async def test_the_database_fills_in_for_plain_sql(session: AsyncSession) -> None:
    row = await session.execute(
        text(
            "INSERT INTO users (email, password_hash, name)"
            " VALUES ('bob@example.org', 'x', 'Bob') RETURNING *"
        )
    )
    bob = row.one()
    assert bob.id.version == 4
    assert (bob.is_active, bob.failed_login_attempts) == (True, 0)
    assert (bob.email_verified_at, bob.locked_until) == (None, None)
    assert abs(bob.created_at - datetime.now(UTC)) < timedelta(minutes=5)


async def test_an_update_has_its_time(session: AsyncSession) -> None:
    ann = user()
    ann.created_at = ann.updated_at = NOW
    await save(session, ann)
    ann.name = "Anne"
    await session.flush()
    await session.refresh(ann)
    assert ann.created_at == NOW
    assert ann.updated_at is not None
    assert ann.updated_at > NOW


async def test_a_relationship_is_never_loaded_by_surprise(session: AsyncSession) -> None:
    ann = user()
    await save(session, ann, *connected(ann))
    session.expunge_all()
    provider = (await session.scalars(select(Provider))).one()
    with pytest.raises(InvalidRequestError, match="raise"):
        _ = provider.user


async def test_a_flush_inserts_parents_first(session: AsyncSession) -> None:
    ann = user()
    provider = Provider(user_id=ann.id, provider_key="schwab", alias="Mine")
    connection = ProviderConnection(provider_id=provider.id)
    # Children first, and no relationship set: the mapper alone knows the order.
    session.add_all([connection, provider, ann])
    await session.flush()
    assert await session.scalar(select(ProviderConnection.provider_id)) == provider.id


async def test_deleting_a_user_deletes_all_but_the_audit_log(session: AsyncSession) -> None:
    ann, bob = user(), user("bob@example.org")
    entry = ProviderAuditLog(user_id=ann.id, action="connect", outcome=AuditOutcome.SUCCESS)
    await save(session, ann, *connected(ann), bob, *connected(bob), entry)
    await session.delete(ann)
    await session.commit()
    for model in (User, Provider, ProviderConnection, ProviderToken):
        assert await session.scalar(select(func.count()).select_from(model)) == 1, model
    session.expunge_all()
    kept = (await session.scalars(select(ProviderAuditLog))).one()
    assert kept.user_id == ann.id


@pytest.mark.parametrize("status", ConnectionStatus)
async def test_every_status_is_accepted(session: AsyncSession, status: ConnectionStatus) -> None:
    ann = user()
    provider, connection, token = connected(ann)
    connection.status = status
    await save(session, ann, provider, connection, token)
    assert await session.scalar(select(ProviderConnection.status)) == status


async def test_an_audit_entry_keeps_what_it_was_given(session: AsyncSession) -> None:
    given = {"state": "unknown", "attempt": 1, "nested": {"ok": False}}
    entry = ProviderAuditLog(
        action="callback",
        outcome=AuditOutcome.FAILURE,
        details=given,
        ip_address="2001:db8::1",
        user_agent="curl/8",
        provider_id=uuid.uuid4(),  # names nothing that exists
    )
    await save(session, entry)
    await session.commit()
    session.expunge_all()
    found = (await session.scalars(select(ProviderAuditLog))).one()
    assert found.details == given
    assert str(found.ip_address) == "2001:db8::1"
    assert found.occurred_at is not None


@pytest.mark.parametrize(
    "statement", ["UPDATE provider_audit_logs SET action = 'x'", "DELETE FROM provider_audit_logs"]
)
async def test_an_audit_entry_cannot_be_changed(session: AsyncSession, statement: str) -> None:
    await save(session, ProviderAuditLog(action="connect", outcome=AuditOutcome.SUCCESS))
    with pytest.raises(DBAPIError, match="permission denied for table provider_audit_logs"):
        await session.execute(text(statement))


def _same_email(ann: User) -> list[SQLModel]:
    return [user()]


def _upper_case_email(ann: User) -> list[SQLModel]:
    return [user("Bob@example.org")]


def _negative_attempts(ann: User) -> list[SQLModel]:
    bob = user("bob@example.org")
    bob.failed_login_attempts = -1
    return [bob]


def _same_alias(ann: User) -> list[SQLModel]:
    return [
        Provider(user_id=ann.id, provider_key="schwab", alias="Mine"),
        Provider(user_id=ann.id, provider_key="other", alias="Mine"),
    ]


def _empty_alias(ann: User) -> list[SQLModel]:
    return [Provider(user_id=ann.id, provider_key="schwab", alias="")]


def _nobodys_provider(ann: User) -> list[SQLModel]:
    return [Provider(user_id=uuid.uuid4(), provider_key="schwab", alias="Mine")]


def _second_connection(ann: User) -> list[SQLModel]:
    provider, connection, _ = connected(ann)
    return [provider, connection, ProviderConnection(provider_id=provider.id)]


def _unknown_status(ann: User) -> list[SQLModel]:
    provider, connection, _ = connected(ann)
    connection.status = "asleep"  # type: ignore[assignment]  # as plain SQL could
    return [provider, connection]


def _negative_errors(ann: User) -> list[SQLModel]:
    provider, connection, _ = connected(ann)
    connection.error_count = -1
    return [provider, connection]


def _second_token(ann: User) -> list[SQLModel]:
    provider, connection, token = connected(ann)
    other = ProviderToken(
        connection_id=connection.id, access_token_encrypted=b"b", key_id="k1", expires_at=NOW
    )
    return [provider, connection, token, other]


def _negative_refreshes(ann: User) -> list[SQLModel]:
    provider, connection, token = connected(ann)
    token.refresh_count = -1
    return [provider, connection, token]


def _unknown_outcome(ann: User) -> list[SQLModel]:
    return [ProviderAuditLog(action="connect", outcome="maybe")]


@pytest.mark.parametrize(
    ("rows", "constraint"),
    [
        (_same_email, "uq_users_email"),
        (_upper_case_email, "ck_users_email_lower_case"),
        (_negative_attempts, "ck_users_failed_login_attempts_not_negative"),
        (_same_alias, "uq_providers_user_id_alias"),
        (_empty_alias, "ck_providers_alias_not_empty"),
        (_nobodys_provider, "fk_providers_user_id_users"),
        (_second_connection, "uq_provider_connections_provider_id"),
        (_unknown_status, "ck_provider_connections_status_known"),
        (_negative_errors, "ck_provider_connections_error_count_not_negative"),
        (_second_token, "uq_provider_tokens_connection_id"),
        (_negative_refreshes, "ck_provider_tokens_refresh_count_not_negative"),
        (_unknown_outcome, "ck_provider_audit_logs_outcome_known"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_the_database_refuses(
    session: AsyncSession, rows: Callable[[User], list[SQLModel]], constraint: str
) -> None:
    ann = user()
    await save(session, ann)
    with pytest.raises(IntegrityError, match=f'"{constraint}"'):
        await save(session, *rows(ann))


async def test_two_users_may_use_the_same_alias(session: AsyncSession) -> None:
    ann, bob = user(), user("bob@example.org")
    await save(session, ann, bob, *connected(ann), *connected(bob))
    aliases = (await session.scalars(select(Provider.alias))).all()
    assert len(aliases) == 2
    assert len(set(aliases)) == 1
