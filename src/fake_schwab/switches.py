"""What the fake Schwab is told to do."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Switches(BaseModel):
    """What the fake does; as it is made, all goes well and each refresh gives a new refresh token."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    # Whether the person agrees, where nobody is asked.
    consent: Literal["granted", "denied", "server_error"] = "granted"
    # `expired`: a code has expired before it arrives.
    code: Literal["good", "expired"] = "good"
    # `mismatch`: no verifier fits.
    verifier: Literal["checked", "mismatch"] = "checked"
    # What a refresh gives: another one, the same, or none, which means that the old one stays good (RFC 6749,
    # 6). `never`: the first answer has none either.
    refresh_token: Literal["rotate", "same", "omit", "never"] = "rotate"  # noqa: S105 - a switch
    # How the token and revocation endpoints answer. `slow` and what follows do their work first.
    answer: Literal["normal", "server_error", "slow", "html", "not_json", "oversized"] = "normal"
    slow_seconds: float = Field(default=30, ge=0)
    access_token_seconds: int = Field(default=1800, ge=1)
    refresh_token_seconds: int = Field(default=7 * 24 * 3600, ge=0)


# What the page offers, beside the two that everybody knows.
CHOICES: dict[str, tuple[str, dict[str, Any]]] = {
    "allow": ("Allow", {"consent": "granted"}),
    "refuse": ("Refuse", {"consent": "denied"}),
    "fail": ("Fail at once: server_error", {"consent": "server_error"}),
    "expired": ("Allow, with a code that has expired", {"code": "expired"}),
    "mismatch": ("Allow, but reject the PKCE verifier", {"verifier": "mismatch"}),
    "server_error": ("Allow, then answer 500", {"answer": "server_error"}),
    "slow": ("Allow, then answer after 30 s", {"answer": "slow"}),
    "html": ("Allow, then answer with a web page", {"answer": "html"}),
    "oversized": ("Allow, then answer with a megabyte", {"answer": "oversized"}),
    "short": ("Allow, with an access token for 10 s", {"access_token_seconds": 10}),
    "same": ("Allow; a refresh keeps the refresh token", {"refresh_token": "same"}),
    "omit": ("Allow; a refresh gives no refresh token", {"refresh_token": "omit"}),
    "never": ("Allow, without any refresh token", {"refresh_token": "never"}),
}
