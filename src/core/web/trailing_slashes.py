"""A path means the same with and without a slash at its end.

Starlette would redirect to the other form. curl does not follow a redirect unless it is told to, and some
clients send a redirected POST without its body.
"""

from starlette.types import ASGIApp, Receive, Scope, Send


class TrailingSlashMiddleware:
    """Removes one slash from the end of a path, so routes are declared without it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] != "/":
            # In place, not in a copy: src.core.web.requests reads from this scope which endpoint answered.
            scope["path"] = scope["path"].removesuffix("/")
        await self._app(scope, receive, send)
