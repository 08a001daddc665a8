"""Why the fake Schwab refuses a request."""


class OAuthError(Exception):
    """An error answer of RFC 6749, 4.1.2.1 or 5.2."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.error = error
        self.description = description
        self.status = status


class UnsafeRedirectError(Exception):
    """Nobody may be sent to where the request says (RFC 6749, 4.1.2.1)."""
