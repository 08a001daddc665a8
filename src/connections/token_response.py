"""A token endpoint's response (RFC 6749, 5.1), read tolerantly.

When it arrives, the user has consented and the code is used up. So only a response without a usable access
token is refused; what is written sloppily is understood, and an optional value that makes no sense counts as
missing.
"""

import math
import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

# A token that lasts for years is a mistake.
LONGEST_LIFETIME = int(timedelta(days=366).total_seconds())
# RFC 6749, appendix A: what tokens consist of.
_PRINTABLE = re.compile(r"[\x20-\x7e]+")


def _lifetime(value: Any) -> int | None:
    """Seconds, from a number or its text; None for what is neither, or is no lifetime."""
    try:
        seconds = 0.0 if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    if not 0 < seconds < math.inf:
        return None
    return min(math.ceil(seconds), LONGEST_LIFETIME)


def _token(value: Any) -> str | None:
    usable = isinstance(value, str) and len(value) <= 8192 and _PRINTABLE.fullmatch(value)
    return value if usable else None


def _scope(value: Any) -> str | None:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        value = " ".join(value)
    return value if isinstance(value, str) and len(value) <= 2000 and _PRINTABLE.fullmatch(value) else None


def _bearer(value: Any) -> Any:
    """Bearer in any spelling, or if nothing is said: we have not agreed on any other type."""
    if value is None or (isinstance(value, str) and value.strip().lower() in ("", "bearer")):
        return "Bearer"
    raise ValueError("only bearer tokens are supported")


Token = Annotated[str, Field(min_length=1, max_length=8192, pattern=r"^[\x20-\x7e]+$")]
OptionalToken = Annotated[str | None, BeforeValidator(_token)]


class TokenResponse(BaseModel):
    """What is not listed is ignored."""

    model_config = ConfigDict(strict=True, hide_input_in_errors=True)

    access_token: Token
    token_type: Annotated[str, BeforeValidator(_bearer)] = "Bearer"  # noqa: S105 - RFC 6750's name
    expires_in: Annotated[int | None, BeforeValidator(_lifetime)] = None
    refresh_token: OptionalToken = None
    id_token: OptionalToken = None
    scope: Annotated[str | None, BeforeValidator(_scope)] = None
