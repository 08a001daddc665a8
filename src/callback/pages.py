"""The pages that the callback server shows, all of constant text."""

from dataclasses import dataclass

from starlette.responses import HTMLResponse

# The address carries an authorization code: no cache may keep it, no other site may learn it.
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Dashtam: {title}</title>
</head>
<body>
<h1>{title}</h1>
<p>{text}</p>
</body>
</html>
"""
START_AGAIN = "Nothing was connected. Go back to Dashtam and start again."
TRY_LATER = "Nothing was connected. Go back to Dashtam and try again later."
UNFINISHED = ("This authorization has expired or was already completed", START_AGAIN)
PROVIDER_FAILED = ("The provider reported an error", TRY_LATER)
# By the code of the app's problem.
PAGES: dict[str, tuple[str, str]] = {
    "link-invalid": (
        "This link is no longer valid",
        f"It was opened before, or it is older than ten minutes. {START_AGAIN}",
    ),
    "parameter-repeated": UNFINISHED,
    "state-missing": UNFINISHED,
    "state-invalid": UNFINISHED,
    "code-missing": UNFINISHED,
    "code-invalid": UNFINISHED,
    "other-browser": (
        "This authorization was started in another browser",
        "Only the browser that opened the link can finish it, and it must accept this page's cookie. "
        f"{START_AGAIN}",
    ),
    "access-denied": ("You did not give your consent", "Nothing was connected. You may close this window."),
    "provider-gone": (
        "Nothing to connect",
        "The provider was removed or disabled in the meantime. You may close this window.",
    ),
    "code-refused": ("The provider no longer accepts this authorization", START_AGAIN),
    "provider-error": PROVIDER_FAILED,
    "provider-unavailable": PROVIDER_FAILED,
    "provider-timeout": PROVIDER_FAILED,
    "provider-answer-invalid": PROVIDER_FAILED,
    "provider-refused": PROVIDER_FAILED,
    "rate-limited": ("Too many attempts", "Wait a minute, then load this page again."),
    "service-unavailable": (
        "Dashtam cannot be reached",
        "Load this page again in a moment. If that does not help, go back to Dashtam and start again.",
    ),
}
FAILED = ("Something went wrong", START_AGAIN)
NOT_FOUND = ("Nothing is here", "You may close this window.")


@dataclass(frozen=True)
class Refusal:
    """Why the app refuses, or that it cannot be reached."""

    status: int
    code: str
    retry_after: str | None = None


def page(status: int, title: str, text: str, headers: dict[str, str] | None = None) -> HTMLResponse:
    """``title`` and ``text`` are HTML."""
    return HTMLResponse(PAGE.format(title=title, text=text), status, HEADERS | (headers or {}))


def refused(refusal: Refusal) -> HTMLResponse:
    headers = {"Retry-After": refusal.retry_after} if refusal.retry_after else {}
    return page(refusal.status, *PAGES.get(refusal.code, FAILED), headers)
