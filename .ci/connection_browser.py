"""What a person does in a browser, for .ci/connection: a real Chromium that trusts the CA, and nothing else.

Screenshots of each page, wide and on a telephone, light and dark, are left in reports/connection/.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import parse_qsl, urlsplit

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))

from tests import chromium  # noqa: E402 - the path comes first

PICTURES = ROOT / "reports/connection"
LOOKS = ((1200, False), (1200, True), (375, False), (375, True))
# Parts of addresses that no log may repeat.
CREDENTIALS = ("ticket", "state", "code", "code_challenge", "token")


class FaultError(Exception):
    """A page is not as it should be."""


class Person:
    """Somebody in front of a browser."""

    def __init__(self, page: chromium.Page) -> None:
        self._page = page

    def _look(self, name: str, *, ours: bool = True) -> None:
        for width, dark in LOOKS:
            self._page.look(width, dark)
            self._page.screenshot(PICTURES / f"{name}-{width}-{'dark' if dark else 'light'}.png")
            if ours and (faults := self._page.faults()):
                raise FaultError(f"{name}, {width} px, {'dark' if dark else 'light'}: {faults}")
        # The console has each answer that is an error; this one is the page that refuses a password.
        if complaints := [each for each in self._page.complaints() if "status of 422" not in each]:
            raise FaultError(f"{name}: the browser complains: {complaints}")

    def _open(self, url: str) -> None:
        if error := self._page.open(url):
            raise FaultError(f"{url}: {error}")

    def read_the_documentation(self, app: str) -> None:
        """Open the app, whose root leads to its documentation, which comes from the app alone."""
        self._open(f"{app}/")
        self._page.wait("document.querySelectorAll('.opblock').length > 10")
        self._look("docs", ours=False)
        if foreign := {url for url in self._page.requests() if not url.startswith((f"{app}/", "data:"))}:
            raise FaultError(f"the documentation asks elsewhere: {foreign}")

    def follow(self, inbox: str, subject: str, title: str) -> None:
        """Open the inbox, and the newest mail's link, which leads to the page with this title."""
        # The app has answered before it mails.
        newest, end = "document.querySelector('article h2')?.textContent", time.monotonic() + 20
        self._open(f"{inbox}/")
        while self._page.evaluate(newest) != subject:
            if time.monotonic() > end:
                raise FaultError(f"the mail '{subject}' is not in the inbox: {self._page.text()}")
            self._open(f"{inbox}/")
        self._look("inbox")
        self._page.press("article a", title)

    def verify(self, inbox: str) -> None:
        """Confirm the address that was registered."""
        self.follow(inbox, "Confirm your address", "Confirm your address")
        self._look("verify")
        self._page.press("button.first", "Your address is confirmed")
        self._look("verified")

    def choose_password(self, inbox: str, password: str) -> None:
        """Choose a new password: first one that is too simple, then this one."""
        self.follow(inbox, "Choose a new password", "Choose a new password")
        self._look("reset")
        field = "document.querySelector('#password')"
        self._page.evaluate(f"{field}.value = 'password-password'")
        self._page.press("button.first", "Choose a new password")
        self._page.wait(f"{field}.ariaInvalid === 'true'")
        self._look("reset-refused")
        self._page.evaluate(f"{field}.value = '{password}'")
        self._page.press("button.first", "Your password was changed")
        self._look("reset-done")

    def connect(self, auth_url: str) -> list[str]:
        """Give the consent that the link asks for; return the addresses on the way."""
        before = len(self._page.way())
        self._open(auth_url)
        self._page.wait("document.querySelector('h1')?.textContent === 'Connect to Dashtam?'")
        self._look("consent")
        self._page.press("button.first", "Connected to Charles Schwab")
        self._look("connected")
        return self._page.way()[before:]

    def credentials(self) -> list[str]:
        """Return what the browser was told in confidence: no log may have it."""
        queries = [dict(parse_qsl(urlsplit(url).query)) for url in self._page.requests()]
        return [
            query[name] for query in queries for name in CREDENTIALS if name in query
        ] + self._page.cookies()


@contextmanager
def person(ca: Path) -> Iterator[Person]:
    """Start a browser that trusts the CA; it ends with the block."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as home:
        chromium.trust(Path(home), ca)
        with chromium.browser(Path(home)) as page:
            yield Person(page)
