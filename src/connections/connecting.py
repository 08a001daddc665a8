"""From a user's wish to connect a provider to tokens in the database.

No answer of a provider is waited for inside a transaction: one may take ten seconds, and a slow provider
would soon hold the whole pool. So these operations commit before they wait.
"""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlencode, urlsplit

from src.connections import providers, results, tokens
from src.connections.audit import NO_TARGET, Action, AuditTarget
from src.connections.browser import cookie_name
from src.connections.context import Context, provider_problem
from src.connections.flows import LIFETIME, Flow
from src.connections.oauth_client import ConsentLostError, Grant, ProviderError
from src.connections.providers import ProviderSnapshot
from src.connections.revoking import revoke_at_provider
from src.core.commits import commit_before_waiting, commit_to_learn_the_outcome
from src.core.web.problems import Problem
from src.models import Provider, ProviderConnection, ProviderToken, User
from src.models.provider import ConnectionStatus
from src.provider_types import ProviderType

# RFC 6749, appendix A.11
CODE = re.compile(r"[\x20-\x7e]{1,4096}")
# RFC 6749, 4.1.2.1; what else an answer calls its error is not repeated.
AUTHORIZATION_ERRORS = frozenset(
    {
        "access_denied",
        "invalid_request",
        "invalid_scope",
        "server_error",
        "temporarily_unavailable",
        "unauthorized_client",
        "unsupported_response_type",
    }
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Link:
    """What the user opens, in the browser that is to finish, within ``expires_in`` seconds."""

    auth_url: str = field(repr=False)
    state: str = field(repr=False)
    expires_in: int


@dataclass(frozen=True)
class Redirection:
    """Where the callback server sends the browser, and the cookie that it sets for ``max_age`` seconds."""

    authorization_url: str
    cookie_name: str
    cookie_value: str = field(repr=False)
    max_age: int


@dataclass(frozen=True)
class AuthorizationResponse:
    """The provider's answer as a browser brought it: anything may be in it."""

    code: str | None = field(default=None, repr=False)
    state: str | None = field(default=None, repr=False)
    error: str | None = None
    # Names of parameters that came more than once, whose values are not here.
    repeated: tuple[str, ...] = ()
    cookies: Mapping[str, str] = field(default_factory=dict, repr=False)


async def start(context: Context, provider: Provider) -> Link:
    """Begin a flow; others that are open stay so. Raises :class:`Problem` 409."""
    provider_type = context.oauth.usable_type(provider)
    started = await context.oauth.flows().start(provider.user_id, provider.id, provider.provider_key)
    target = AuditTarget.from_provider(provider)
    context.audit.record(Action.AUTHORIZATION_STARTED, target, flow=str(started.id))
    callback = urlsplit(provider_type.redirect_uri)
    query = urlencode({"ticket": started.ticket, "state": started.state})
    return Link(f"{callback.scheme}://{callback.netloc}/authorize?{query}", started.state, LIFETIME)


async def open_link(context: Context, ticket: str, state: str) -> Redirection:
    """Make the browser that opens the link the flow's own. Raises :class:`Problem` 400, audited."""
    action = Action.AUTHORIZATION_OPENED
    await _database_answers(context)
    opened = await context.oauth.flows().open(ticket, state)
    if opened is None:
        problem = Problem(400, "link-invalid", "The link was used before, or is older than ten minutes.")
        await context.audit.fail(action, problem)
    provider, provider_type = await _wanted(context, action, opened.flow)
    url = await context.oauth.client(provider_type).authorization_url(state, opened.flow.code_verifier)
    context.audit.record(action, AuditTarget.from_provider(provider), flow=str(opened.flow.id))
    return Redirection(url, cookie_name(state), opened.cookie, LIFETIME)


async def complete(context: Context, response: AuthorizationResponse) -> str:
    """Exchange the code for tokens and store them; what finds the result (:mod:`src.connections.results`).

    Raises :class:`Problem`: 400 where the answer is not acceptable, 502 and 504 where the provider does not
    do its part. Each is audited, and nothing is stored. The state is used up in any case. The flow's own
    browser gets the result of a failure, too, as ``result`` among the problem's members.
    """
    await _database_answers(context)
    flow, code = await _accept(context, response)
    try:
        await _exchange(context, flow, code)
    except Problem as problem:
        problem.extra["result"] = results.seal(context.oauth.keyring, flow, problem.code)
        raise
    return results.seal(context.oauth.keyring, flow)


async def _exchange(context: Context, flow: Flow, code: str) -> None:
    action = Action.AUTHORIZATION_COMPLETED
    provider, provider_type = await _wanted(context, action, flow)
    target = AuditTarget.from_provider(provider)
    await commit_before_waiting(context.session)
    try:
        grant = await context.oauth.client(provider_type).exchange(code, flow.code_verifier)
    except ConsentLostError as error:
        refused = Problem(
            400, "code-refused", "The provider does not accept its code (any more). Start again."
        )
        await context.audit.fail(action, refused, target, flow=str(flow.id), reason=error.reason)
    except ProviderError as error:
        problem = provider_problem(error)
        await context.audit.fail(action, problem, target, flow=str(flow.id), reason=error.reason)
    try:
        await _store(context, flow, provider_type, grant)
    except Problem:
        # Removed or switched off meanwhile: nobody wants these tokens any more.
        await revoke_at_provider(context, provider_type, target, tokens.from_grant(grant))
        raise
    except Exception:
        logger.error("%s granted tokens that could not be stored; they are lost", provider_type.name)
        raise


async def _accept(context: Context, response: AuthorizationResponse) -> tuple[Flow, str]:
    """The flow that this answers, and the code; :class:`Problem` 400 if there is anything wrong with it.

    The order matters: what the browser brought counts only once it is known to be the right browser.
    """
    flow = None if response.state is None else await context.oauth.flows().consume(response.state)
    cookie = response.cookies.get(cookie_name(response.state or ""))
    own_browser = flow is not None and flow.is_bound_to(cookie)
    target = AuditTarget(flow.user_id, flow.provider_id, flow.provider_key) if flow else NO_TARGET
    details: dict[str, object] = {"flow": str(flow.id)} if flow else {}
    if response.repeated:
        problem = Problem(400, "parameter-repeated", "The provider's answer has a parameter more than once.")
        details["repeated"] = sorted(response.repeated)
    elif response.state is None:
        problem = Problem(400, "state-missing", "The answer does not say to what it is one.")
    elif flow is None:
        problem = Problem(400, "state-invalid", "This authorization has expired or was already completed.")
    elif not own_browser:
        problem = Problem(400, "other-browser", "Only the browser that opened the link can finish.")
    elif response.error == "access_denied":
        problem = Problem(400, "access-denied", "Access was refused on the provider's page.")
    elif response.error is not None:
        problem = Problem(400, "provider-error", "The provider says that it cannot do it.")
        details["error"] = response.error if response.error in AUTHORIZATION_ERRORS else "unknown_error"
    elif response.code is None:
        problem = Problem(400, "code-missing", "The answer has no code.")
    elif not CODE.fullmatch(response.code):
        problem = Problem(400, "code-invalid", "The authorization code is malformed.")
    else:
        return flow, response.code
    if flow is not None and own_browser:
        problem.extra["result"] = results.seal(context.oauth.keyring, flow, problem.code)
    return await context.audit.fail(Action.AUTHORIZATION_COMPLETED, problem, target, **details)


async def _wanted(context: Context, action: Action, flow: Flow) -> tuple[Provider, ProviderType]:
    snapshot = await _snapshot(context, action, flow)
    return snapshot.provider, context.oauth.usable_type(snapshot.provider)


async def _snapshot(context: Context, action: Action, flow: Flow, *, lock: bool = False) -> ProviderSnapshot:
    """What a flow is about, if it is still the user's and can be connected; else :class:`Problem` 400."""
    try:
        snapshot = await providers.get(context.session, flow.user_id, flow.provider_id, lock=lock)
        context.oauth.usable_type(snapshot.provider)
        user = await context.session.get(User, flow.user_id, populate_existing=True)
        if user is None or not user.is_active:
            raise Problem(409, "user-inactive", "The user may not log in any more.")
        return snapshot
    except Problem as error:
        problem = Problem(400, "provider-gone", "What was to be connected is not there any more, or is off.")
        target = AuditTarget(flow.user_id, flow.provider_id, flow.provider_key)
        await context.audit.fail(action, problem, target, flow=str(flow.id), because=error.code)


async def _store(context: Context, flow: Flow, provider_type: ProviderType, grant: Grant) -> None:
    action = Action.AUTHORIZATION_COMPLETED
    snapshot = await _snapshot(context, action, flow, lock=True)
    now = datetime.now(UTC)
    connection = snapshot.connection or ProviderConnection(provider_id=snapshot.provider.id)
    connection.status = ConnectionStatus.ACTIVE
    connection.connected_at = now
    connection.error_count = 0
    connection.last_error = connection.last_error_at = None
    context.session.add(connection)
    await context.session.flush()
    # Rows get their ids here, and not by the database: the id is part of what is encrypted.
    token = snapshot.token or ProviderToken(
        connection_id=connection.id, access_token_encrypted=b"", key_id="", expires_at=grant.expires_at
    )
    token.scope = " ".join(provider_type.scopes) or None
    tokens.write(token, context.oauth.keyring, grant)
    lifetime = provider_type.refresh_token_lifetime
    token.refresh_expires_at = now + lifetime if lifetime and grant.refresh_token else None
    token.refresh_count = 0
    token.last_refreshed_at = None
    context.session.add(token)
    context.audit.record(
        action,
        AuditTarget.from_provider(snapshot.provider, connection.id),
        flow=str(flow.id),
        again=snapshot.connection is not None,
        refresh_token=grant.refresh_token is not None,
    )
    await commit_to_learn_the_outcome(context.session)


async def _database_answers(context: Context) -> None:
    """Fail before a state or a ticket is used up, if it does not: then the browser has its chance later."""
    await context.session.connection()
