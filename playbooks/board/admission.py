"""Which requests the board answers, and the headers that every answer carries.

The board listens on 127.0.0.1, but every page that a browser shows can send requests there. So a request has
to name this machine in its Host header, which a name that was made to point here (DNS rebinding) does not,
and has to come from the board's own page, or from a person who typed the address.
"""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

NAMES = ("localhost", "127.0.0.1")
METHODS = ("GET", "HEAD")
# Browsers say where a request comes from (https://www.w3.org/TR/fetch-metadata/); other programs do not.
OWN = ("same-origin", "none")
# Files of the board's own, and nothing else; no text becomes markup (Trusted Types).
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Admission:
    """Refuse what is not for the board, hand on the rest."""

    def __init__(self, app: ASGIApp, port: int) -> None:
        self._app = app
        self._hosts = {f"{name}:{port}" for name in NAMES}

    def _refusal(self, method: str, headers: Headers) -> PlainTextResponse | None:
        host = headers.get("host", "").lower()
        if host not in self._hosts:
            return PlainTextResponse(f"This board is at {' or '.join(sorted(self._hosts))}.\n", 421)
        if headers.get("sec-fetch-site", "none") not in OWN:
            return PlainTextResponse("This board answers its own page alone.\n", 403)
        if headers.get("origin", f"https://{host}") != f"https://{host}":
            return PlainTextResponse("This board answers its own page alone.\n", 403)
        if method not in METHODS:
            return PlainTextResponse("This board is for looking: GET only.\n", 405, {"Allow": "GET, HEAD"})
        return None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message["headers"], *added]
            await send(message)

        refusal = self._refusal(scope["method"], Headers(scope=scope))
        await (refusal or self._app)(scope, receive, send_with_headers)
