"""What a browser is shown of an authorization that is over, as often as it asks.

The result's address is all that is kept of it: what happened, encrypted and authenticated by the app, which
alone can read it. It has no secret and grants nothing. Whoever has the address learns the provider's name
and alias and whether it is connected, as whoever looks at the page does. A key that is removed from
ENCRYPTION_KEY ends the addresses that were made with it.
"""

import base64
import binascii
import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncSession

from src.connections import providers
from src.connections.flows import Flow
from src.connections.providers import ProviderSnapshot
from src.core.security.encryption import DecryptionError, Keyring
from src.core.web.problems import Problem

# The keys' purpose. Whoever changes the form changes it, so that older addresses are refused.
PURPOSE = "dashtam: addresses of results, 1"
PLACE = b"result"


@dataclass(frozen=True)
class Result:
    """How a flow ended: ``problem`` is the code of what went wrong, None if the provider was connected."""

    user_id: uuid.UUID
    provider_id: uuid.UUID
    provider_key: str
    problem: str | None
    at: datetime

    async def snapshot(self, session: AsyncSession) -> ProviderSnapshot | None:
        """Return how the provider stands now, None if it was removed."""
        try:
            return await providers.get(session, self.user_id, self.provider_id)
        except Problem:
            return None


def seal(keyring: Keyring, flow: Flow, problem: str | None = None) -> str:
    """Return what goes into the address, of the URL-safe alphabet, for a flow that ended just now."""
    fields = [
        flow.user_id.hex,
        flow.provider_id.hex,
        flow.provider_key,
        problem,
        int(datetime.now(UTC).timestamp()),
    ]
    sealed = keyring.derived(PURPOSE).seal(json.dumps(fields), PLACE)
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def unseal(keyring: Keyring, text: str) -> Result:
    """Return the result that an address has; :class:`Problem` 404 if it is none of ours."""
    try:
        sealed = base64.urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4))
        opened = keyring.derived(PURPOSE).unseal(sealed, PLACE, where="the result")
    except (DecryptionError, binascii.Error, ValueError):
        raise Problem(404, "result-invalid", "This address has no result, or one too old to read.") from None
    user_id, provider_id, provider_key, problem, at = json.loads(opened)
    return Result(
        uuid.UUID(user_id), uuid.UUID(provider_id), provider_key, problem, datetime.fromtimestamp(at, UTC)
    )
