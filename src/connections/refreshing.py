"""New tokens for old ones, five minutes before those expire.

Of two who refresh at once, one asks the provider, and both have what it gave. The lock is in Redis;
docs/decisions/0007-redis-locks.md says why. Should it expire under its holder, what the row says when the
answer is stored decides.

A crash between a provider's answer and our commit loses the answer; and if the provider rotated, the token
that is stored is good no more. No order of steps prevents that, but it is not silent. That a refresh begins
is committed to the audit log before the provider is asked; a beginning that nothing follows was interrupted,
and the next refresh says so, in the log and in its own entry. If the stored token is good no more, the
connection is marked expired, and the user is told to connect again.
"""

import logging
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from sqlalchemy import select
from sqlmodel import col

from src.connections import providers, refresh_lock, tokens
from src.connections.audit import Action, AuditTarget
from src.connections.context import PROVIDER_PROBLEMS, Context, provider_problem
from src.connections.oauth_client import ConsentLostError, Grant, ProviderError
from src.connections.providers import ProviderSnapshot
from src.connections.revoking import revoke_at_provider
from src.connections.tokens import Tokens
from src.core.commits import (
    commit_before_waiting,
    commit_despite_refusal,
    commit_to_learn_the_outcome,
)
from src.core.security.encryption import DecryptionError
from src.core.web.problems import Problem
from src.models import Provider, ProviderAuditLog, ProviderConnection, ProviderToken
from src.models.provider import AuditOutcome, ConnectionStatus

AHEAD = timedelta(minutes=5)
CONSENT_EXPIRED = "consent-expired"
logger = logging.getLogger(__name__)


async def refresh(context: Context, provider: Provider) -> ProviderSnapshot:
    """Get new tokens now.

    Raises :class:`Problem`: 409 where there is nothing to refresh, or only a new consent helps; 502 and 504
    where the provider does not do its part; 503 where another refresh takes too long.
    """
    return await _refresh(context, provider, lambda token: True)


async def ensure_fresh(context: Context, provider: Provider) -> str:
    """An access token that is good for five minutes at least, refreshed if need be.

    Raises :class:`Problem` as :func:`refresh` does.
    """
    snapshot = await _refresh(context, provider, lambda token: token.expires_at - datetime.now(UTC) < AHEAD)
    return (await _read(context, snapshot)).access_token


async def _refresh(
    context: Context, provider: Provider, is_due: Callable[[ProviderToken], bool]
) -> ProviderSnapshot:
    context.oauth.usable_type(provider)
    seen = await providers.get(context.session, provider.user_id, provider.id)
    _, token = _connected(seen)
    if not is_due(token):
        return seen
    seen_version = _version(seen)
    await commit_before_waiting(context.session)
    async with refresh_lock.held(context, provider.id):
        now = await providers.get(context.session, provider.user_id, provider.id)
        if _version(now) != seen_version:
            return _result_of_another(now, seen_version)
        return await _ask(context, now)


Version = tuple[object, ...]


def _version(snapshot: ProviderSnapshot) -> Version:
    """Changes with everything that a refresh, a new consent or a revocation does; not with a new key."""
    connection, token = snapshot.connection, snapshot.token
    return (
        connection and (connection.id, connection.status, connection.connected_at, connection.error_count),
        token and (token.id, token.refresh_count),
    )


def _connected(snapshot: ProviderSnapshot) -> tuple[ProviderConnection, ProviderToken]:
    """Connection and tokens, or :class:`Problem` 409 where they cannot be refreshed."""
    connection, token = snapshot.connection, snapshot.token
    if connection is not None and connection.status == ConnectionStatus.EXPIRED:
        raise _consent_expired()
    usable = {ConnectionStatus.ACTIVE, ConnectionStatus.ERROR}
    if connection is None or token is None or connection.status not in usable:
        raise Problem(409, "not-connected", "This provider is not connected. Connect it first.")
    return connection, token


def _consent_expired() -> Problem:
    return Problem(409, CONSENT_EXPIRED, "The consent has ended at the provider. Connect again.")


def _result_of_another(now: ProviderSnapshot, seen: Version) -> ProviderSnapshot:
    """What whoever held the lock achieved."""
    connection, _ = _connected(now)
    _, seen_token = seen
    _, token = _version(now)
    if token == seen_token:
        for known in PROVIDER_PROBLEMS.values():
            if known[1] == connection.last_error:
                raise Problem(*known)
    return now


async def _ask(context: Context, snapshot: ProviderSnapshot) -> ProviderSnapshot:
    provider = snapshot.provider
    provider_type = context.oauth.usable_type(provider)
    connection, token = _connected(snapshot)
    target = AuditTarget.from_provider(provider, connection.id)
    held = await _read(context, snapshot)
    now = datetime.now(UTC)
    if held.refresh_token is None:
        if token.expires_at <= now:
            await _fail(context, snapshot, _consent_expired(), reason="no_refresh_token")
        problem = Problem(409, "no-refresh-token", "The provider gave nothing to refresh with.")
        await _fail(context, snapshot, problem, problem=problem.code)
    if token.refresh_expires_at is not None and token.refresh_expires_at <= now:
        await _fail(context, snapshot, _consent_expired(), reason="refresh_token_expired")
    details = {"interrupted_before": True} if await _was_interrupted(context, provider.id) else {}
    await commit_before_waiting(context.session)
    await context.audit.record_alone(Action.TOKEN_REFRESH_STARTED, target)
    try:
        grant = await context.oauth.client(provider_type).refresh(held.refresh_token)
    except ConsentLostError as error:
        await _fail(context, snapshot, _consent_expired(), reason=error.reason, **details)
    except ProviderError as error:
        await _fail(context, snapshot, provider_problem(error), reason=error.reason, **details)
    try:
        return await _store(context, snapshot, held, grant, details)
    except Problem:
        # Removed, revoked or connected again in the meantime: these tokens are no longer needed.
        await revoke_at_provider(context, provider_type, target, tokens.from_grant(grant))
        raise
    except Exception:
        logger.error("%s gave new tokens that could not be stored; they are lost", provider_type.name)
        raise


async def _store(
    context: Context, snapshot: ProviderSnapshot, held: Tokens, grant: Grant, details: dict[str, Any]
) -> ProviderSnapshot:
    now = await _unchanged(context, snapshot)
    connection, token = _connected(now)
    tokens.write(token, context.oauth.keyring, grant, kept=held)
    token.refresh_count += 1
    token.last_refreshed_at = datetime.now(UTC)
    connection.status = ConnectionStatus.ACTIVE
    connection.error_count = 0
    connection.last_error = connection.last_error_at = None
    if grant.refresh_token is None:
        refresh_token = "omitted"  # noqa: S105 - what became of it
    else:
        refresh_token = "same" if grant.refresh_token == held.refresh_token else "rotated"
    context.audit.record(
        Action.TOKEN_REFRESHED,
        AuditTarget.from_provider(now.provider, connection.id),
        refresh_token=refresh_token,
        **details,
    )
    await commit_to_learn_the_outcome(context.session)
    return ProviderSnapshot(now.provider, connection, token, ConnectionStatus.ACTIVE)


async def _unchanged(context: Context, snapshot: ProviderSnapshot) -> ProviderSnapshot:
    """The same again, now locked; :class:`Problem` where it is not the same."""
    version = _version(snapshot)
    now = await providers.get(context.session, snapshot.provider.user_id, snapshot.provider.id, lock=True)
    if _version(now) != version:
        # The caller may ask the provider to revoke what it gave.
        await commit_before_waiting(context.session)
        _connected(now)
        raise Problem(409, "connection-changed", "The connection was changed meanwhile. Look at it again.")
    return now


async def _fail(context: Context, snapshot: ProviderSnapshot, refusal: Problem, **details: Any) -> NoReturn:
    """Keep why nothing was refreshed, in the connection and in the audit log, and raise ``refusal``."""
    now = await _unchanged(context, snapshot)
    connection, _ = _connected(now)
    connection.last_error, connection.last_error_at = refusal.code, datetime.now(UTC)
    if refusal.code == CONSENT_EXPIRED:
        connection.status = ConnectionStatus.EXPIRED
    elif refusal.status >= 500:  # the provider did not do its part
        connection.error_count += 1
    target = AuditTarget.from_provider(now.provider, connection.id)
    context.audit.record(Action.TOKEN_REFRESHED, target, AuditOutcome.FAILURE, **details)
    await commit_despite_refusal(context.session)
    raise refusal


async def _read(context: Context, snapshot: ProviderSnapshot) -> Tokens:
    _, token = _connected(snapshot)
    try:
        return tokens.read(token, context.oauth.keyring)
    except DecryptionError as error:
        logger.error("Tokens cannot be read: %s", error)
        problem = Problem(409, "tokens-unreadable", "The stored tokens cannot be read. Connect again.")
        await _fail(context, snapshot, problem, problem=problem.code)


async def _was_interrupted(context: Context, provider_id: uuid.UUID) -> bool:
    """Whether the last refresh never ended. Only the holder of the lock can tell."""
    log = col(ProviderAuditLog.occurred_at)
    last = await context.session.scalar(
        select(col(ProviderAuditLog.action))
        .where(
            col(ProviderAuditLog.provider_id) == provider_id,
            col(ProviderAuditLog.action).in_(
                (Action.TOKEN_REFRESH_STARTED, Action.TOKEN_REFRESHED, Action.AUTHORIZATION_COMPLETED)
            ),
        )
        .order_by(log.desc())
        .limit(1)
    )
    if last != Action.TOKEN_REFRESH_STARTED:
        return False
    logger.warning("The last refresh of %s was interrupted; its tokens may be lost", provider_id)
    return True
