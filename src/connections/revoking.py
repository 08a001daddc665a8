"""The end of a connection: its tokens are forgotten here, and revoked at a provider that has where."""

import logging
import uuid

from sqlalchemy import delete
from sqlmodel import col

from src.connections import providers, tokens
from src.connections.audit import Action, AuditTarget
from src.connections.context import Context
from src.connections.oauth_client import ProviderError
from src.connections.providers import ProviderSnapshot
from src.connections.tokens import Tokens
from src.core.commits import commit_before_waiting
from src.core.security.encryption import DecryptionError
from src.models import Provider
from src.models.provider import AuditOutcome, ConnectionStatus
from src.provider_types import ProviderType

logger = logging.getLogger(__name__)


async def revoke(context: Context, user_id: uuid.UUID, provider_id: uuid.UUID) -> None:
    """End the connection, if there is one. Raises :class:`Problem` 404.

    Here first: whatever the provider says, and however long it takes, nobody uses these tokens any more.
    """
    snapshot = await providers.get(context.session, user_id, provider_id, lock=True)
    if snapshot.connection is None or snapshot.connection.status == ConnectionStatus.REVOKED:
        return
    target = AuditTarget.from_provider(snapshot.provider, snapshot.connection.id)
    held = _held(context, snapshot)
    if snapshot.token is not None:
        await context.session.delete(snapshot.token)
    snapshot.connection.status = ConnectionStatus.REVOKED
    context.audit.record(Action.AUTHORIZATION_REVOKED, target)
    await commit_before_waiting(context.session)
    await _revoke_held(context, snapshot, target, held)


async def delete_provider(context: Context, user_id: uuid.UUID, provider_id: uuid.UUID) -> None:
    """Remove a provider with its connection and tokens. Raises :class:`Problem` 404."""
    snapshot = await providers.get(context.session, user_id, provider_id, lock=True)
    target = AuditTarget.from_provider(
        snapshot.provider, snapshot.connection.id if snapshot.connection else None
    )
    held = _held(context, snapshot)
    await context.session.execute(delete(Provider).where(col(Provider.id) == provider_id))
    context.audit.record(Action.PROVIDER_DELETED, target)
    await commit_before_waiting(context.session)
    await _revoke_held(context, snapshot, target, held)


async def revoke_at_provider(
    context: Context, provider_type: ProviderType, target: AuditTarget, held: Tokens
) -> None:
    """Ask the provider to revoke, where it has an endpoint for that. The outcome is audited, none raises."""
    if provider_type.revoke_url is None:
        return
    # With the refresh token go the access tokens (RFC 7009, 2.1).
    if held.refresh_token is not None:
        token, hint = held.refresh_token, "refresh_token"
    else:
        token, hint = held.access_token, "access_token"
    outcome, details = AuditOutcome.SUCCESS, {}
    try:
        await context.oauth.client(provider_type).revoke(token, hint)
    except ProviderError as error:
        outcome, details = AuditOutcome.FAILURE, {"reason": error.reason}
    await context.audit.record_alone(Action.TOKEN_REVOKED_AT_PROVIDER, target, outcome, **details)


def _held(context: Context, snapshot: ProviderSnapshot) -> Tokens | None:
    """The tokens that are to be revoked; none where there are none, or none that can be read."""
    if snapshot.token is None:
        return None
    try:
        return tokens.read(snapshot.token, context.oauth.keyring)
    except DecryptionError as error:
        logger.error("Tokens cannot be revoked at their provider: %s", error)
        return None


async def _revoke_held(
    context: Context, snapshot: ProviderSnapshot, target: AuditTarget, held: Tokens | None
) -> None:
    provider_type = context.oauth.provider_types.get(snapshot.provider.provider_key)
    if held is not None and provider_type is not None:
        await revoke_at_provider(context, provider_type, target, held)
