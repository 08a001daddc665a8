"""What became of the last attempt to connect a provider, so that whoever polls need not guess.

It is read from the audit log, which has every step anyway (:mod:`src.connections.audit`): a second record
of the same steps could contradict it.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from src.connections.audit import Action
from src.connections.flows import LIFETIME
from src.models import ProviderAuditLog, ProviderConnection
from src.models.provider import AuditOutcome


class Reason(StrEnum):
    """Why a provider was not connected or its tokens not refreshed: codes of problems, but the last two."""

    ACCESS_DENIED = "access-denied"
    OTHER_BROWSER = "other-browser"
    PARAMETER_REPEATED = "parameter-repeated"
    CODE_MISSING = "code-missing"
    CODE_INVALID = "code-invalid"
    CODE_REFUSED = "code-refused"
    PROVIDER_GONE = "provider-gone"
    PROVIDER_ERROR = "provider-error"
    PROVIDER_TIMEOUT = "provider-timeout"
    PROVIDER_UNAVAILABLE = "provider-unavailable"
    PROVIDER_ANSWER_INVALID = "provider-answer-invalid"
    PROVIDER_REFUSED = "provider-refused"
    CONSENT_EXPIRED = "consent-expired"
    NO_REFRESH_TOKEN = "no-refresh-token"  # noqa: S105 - what is missing
    TOKENS_UNREADABLE = "tokens-unreadable"
    AUTHORIZATION_EXPIRED = "authorization-expired"
    FAILED = "failed"

    @classmethod
    def of(cls, code: str | None) -> "Reason":
        """Return the reason of a stored code; FAILED for one that this version does not know."""
        return cls(code) if code is not None and code in set(cls) else cls.FAILED

    @property
    def detail(self) -> str:
        """What happened and what to do, in a sentence or two."""
        return DETAILS[self]


_ANSWER = "The browser came back from the provider with an incomplete answer. Start again."
DETAILS = {
    Reason.ACCESS_DENIED: "Access was refused on the provider's page.",
    Reason.OTHER_BROWSER: "Another browser came back than the one that opened the link. Start again.",
    Reason.PARAMETER_REPEATED: _ANSWER,
    Reason.CODE_MISSING: _ANSWER,
    Reason.CODE_INVALID: _ANSWER,
    Reason.CODE_REFUSED: "The provider no longer accepted the authorization code. Start again.",
    Reason.PROVIDER_GONE: "The provider was disabled, or is not supported, when the browser came back.",
    Reason.PROVIDER_ERROR: "The provider reported an error. Try again later.",
    Reason.PROVIDER_TIMEOUT: "The provider took too long to answer. Try again later.",
    Reason.PROVIDER_UNAVAILABLE: "The provider could not be reached. Try again later.",
    Reason.PROVIDER_ANSWER_INVALID: "The provider's answer was malformed. Try again later.",
    Reason.PROVIDER_REFUSED: "The provider did not accept this service's request. Whoever runs it must look.",
    Reason.CONSENT_EXPIRED: "The consent has ended at the provider. Connect again.",
    Reason.NO_REFRESH_TOKEN: "The provider gave nothing to refresh with. Connect again when the access ends.",
    Reason.TOKENS_UNREADABLE: "The stored tokens cannot be read. Connect again.",
    Reason.AUTHORIZATION_EXPIRED: "Nobody finished the authorization within ten minutes. Start again.",
    Reason.FAILED: "The last attempt failed. Start again.",
}
_STEPS = (Action.AUTHORIZATION_STARTED, Action.AUTHORIZATION_OPENED, Action.AUTHORIZATION_COMPLETED)
# After these, a failure before them no longer matters, whatever authorization it was of.
_ENDS = (Action.AUTHORIZATION_REVOKED, Action.TOKEN_REFRESHED)


@dataclass(frozen=True)
class Attempt:
    """``open_until``: a person may still finish. ``reason``: why it failed ``at`` that moment."""

    open_until: datetime | None = None
    reason: Reason | None = None
    at: datetime | None = None


async def last(
    session: AsyncSession, provider_id: uuid.UUID, connection: ProviderConnection | None
) -> Attempt:
    """Return how the last attempt to connect, or else the last refresh, stands.

    Several may be open. The one that was started last counts, unless another one has connected since.
    """
    action, outcome = col(ProviderAuditLog.action), col(ProviderAuditLog.outcome)
    at, details = col(ProviderAuditLog.occurred_at), col(ProviderAuditLog.details)
    flow = details["flow"].astext
    newest = (
        select(
            action.label("action"),
            (outcome == AuditOutcome.FAILURE).label("failed"),
            details["problem"].astext.label("problem"),
            flow.label("flow"),
            at.label("at"),
            func.clock_timestamp().label("now"),
        )
        .where(col(ProviderAuditLog.provider_id) == provider_id)
        .order_by(at.desc())
        .limit(1)
    )
    started = (await session.execute(newest.where(action == Action.AUTHORIZATION_STARTED))).one_or_none()
    # Entries from before authorizations had names have none.
    same = and_(action.in_(_STEPS), flow.is_not_distinct_from(started.flow if started else None))
    connected = and_(action == Action.AUTHORIZATION_COMPLETED, outcome == AuditOutcome.SUCCESS)
    step = (await session.execute(newest.where(or_(same, connected, action.in_(_ENDS))))).one_or_none()
    if step is None or step.action in _ENDS:
        return _refresh(connection)
    if step.failed:
        return Attempt(reason=Reason.of(step.problem), at=step.at)
    if step.action == Action.AUTHORIZATION_COMPLETED:
        return _refresh(connection)
    # To open its link prolongs nothing.
    until = (started or step).at + timedelta(seconds=LIFETIME)
    if until <= step.now:
        return Attempt(reason=Reason.AUTHORIZATION_EXPIRED, at=until)
    return _refresh(connection, open_until=until)


def _refresh(connection: ProviderConnection | None, open_until: datetime | None = None) -> Attempt:
    if connection is None or connection.last_error is None:
        return Attempt(open_until)
    return Attempt(open_until, Reason.of(connection.last_error), connection.last_error_at)
