"""The pages that the callback server shows, of constant text but for a provider's name and alias."""

import html
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from starlette.responses import HTMLResponse

from src.core.web import pages

# The address carries an authorization code: no cache may keep it, no other site may learn it.
HEADERS = pages.headers()
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
    "result-invalid": (
        "This page is no longer available",
        "Its address is incomplete, or too old. Dashtam itself shows whether your account is connected.",
    ),
    "rate-limited": ("Too many attempts", "Wait a minute, then load this page again."),
    "service-unavailable": (
        "Dashtam cannot be reached",
        "Load this page again in a moment. If that does not help, go back to Dashtam and start again.",
    ),
}
FAILED = ("Something went wrong", START_AGAIN)
NOT_FOUND = ("Nothing is here", "You may close this window.")
# How a provider stands that was connected once.
ENDED = {
    "expired": "The consent has ended since. To connect again, go back to Dashtam.",
    "revoked": "The connection has been revoked since. To connect again, go back to Dashtam.",
    "error": "The connection does not work at present. Dashtam says why.",
    "removed": "The provider has been removed from Dashtam since.",
}
NOW = {
    "pending": "not connected",
    "active": "connected",
    "expired": "consent ended",
    "revoked": "revoked",
    "error": "not working",
    "removed": "removed from Dashtam",
}
FAKE = (
    '<p class="notice">This is a development environment. The provider was its fake Schwab: '
    "no real account is involved.</p>"
)


@dataclass(frozen=True)
class Refusal:
    """Why the app refuses, or that it cannot be reached; ``result`` finds the page that says so."""

    status: int
    code: str
    retry_after: str | None = None
    result: str | None = None


def page(status: int, title: str, text: str, headers: dict[str, str] | None = None) -> HTMLResponse:
    """Return a page on which nothing was connected; ``title`` and ``text`` are HTML."""
    return pages.page(title, f"<p>{text}</p>", status, mark="bad", more_headers=headers)


def refused(refusal: Refusal) -> HTMLResponse:
    headers = {"Retry-After": refusal.retry_after} if refusal.retry_after else {}
    return page(refusal.status, *PAGES.get(refusal.code, FAILED), headers)


def result(found: dict[str, Any]) -> HTMLResponse:
    """Return the page of an authorization that is over, however often it is loaded.

    :param found: the app's ``ResultOut``: what became of it then, and how the provider stands now.
    """
    provider, status = html.escape(str(found["provider_name"])), str(found["status"])
    problem = found["problem"]
    if problem is not None:
        title, text = PAGES.get(str(problem), FAILED)
        if status == "active":
            text += " An earlier or later attempt succeeded: the account is connected."
    elif status == "active":
        title = f"Connected to {provider}"
        text = "Dashtam may now read this account. You may close this window and go back to Dashtam."
    else:
        title, text = f"No longer connected to {provider}", ENDED.get(status, ENDED["error"])
    body = [
        f"<p>{text}</p>",
        pages.facts(
            ("Provider", provider),
            ("Your name for it", html.escape(str(found["alias"] or ""))),
            ("Tried" if problem else "Connected", pages.when(datetime.fromisoformat(str(found["at"])))),
            ("Now", NOW.get(status, NOW["error"])),
        ),
    ]
    if found["fake"]:
        body.append(FAKE)
    if (docs := str(found["docs_url"] or "")) and urlsplit(docs).scheme == "https":
        body.append(f'<p><a href="{html.escape(docs)}">Go to Dashtam\'s API page</a></p>')
    mark: pages.Mark = "good" if problem is None and status == "active" else "bad"
    # A refusal is no success, however often it is looked at.
    return pages.page(title, "\n".join(body), 400 if problem else 200, mark=mark)
