"""The board's addresses. All of them are for looking."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import html
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

from ansible_collections.dashtam.stack.plugins.module_utils.engine import EngineError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from playbooks.board import CHECKOUT, containers
from playbooks.board.admission import Admission
from playbooks.board.drift import BusyError, Comparison
from playbooks.board.news import News

PAGES = Path(__file__).parent / "pages"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
FILES = {path.name: path for path in sorted(PAGES.iterdir()) if path.suffix in TYPES}
TOKEN_HEADER = "x-board-token"  # noqa: S105 - a header's name


class Board:
    """What the answers share."""

    def __init__(self, checkout: Path = CHECKOUT) -> None:
        self.news = News()
        self._checkout = str(checkout)
        self._comparison = Comparison()
        # Only who can read the page has it. As a header of ours, no form and no image can send it.
        self._token = secrets.token_urlsafe(16)

    async def file(self, request: Request) -> Response:
        """Answer with one of the board's own files."""
        path = FILES.get(request.path_params.get("name", "index.html"))
        if path is None:
            return PlainTextResponse("There is no such page.\n", 404)
        text = path.read_text(encoding="utf-8")
        if path.name == "index.html":
            checkout = html.escape(self._checkout)
            text = text.replace("{token}", self._token).replace("{checkout}", checkout)
        return Response(text, media_type=TYPES[path.suffix])

    async def health(self, _: Request) -> Response:
        """Answer whose board this is, and how many streams are open."""
        return JSONResponse({"board": self._checkout, "streams": self.news.streams})

    async def events(self, _: Request) -> Response:
        """Answer with a stream of what is new."""
        return StreamingResponse(self.news.stream(), media_type="text/event-stream")

    async def log(self, request: Request) -> Response:
        """Answer with a container's last log lines."""
        try:
            return PlainTextResponse(await asyncio.to_thread(containers.log, request.path_params["name"]))
        except containers.UnknownError:
            return PlainTextResponse("There is no such container.\n", 404)
        except EngineError as error:
            return PlainTextResponse(f"{error.message}\n", 503)

    async def drift(self, request: Request) -> Response:
        """Answer with the drift of an environment of this checkout."""
        if not hmac.compare_digest(request.headers.get(TOKEN_HEADER, "").encode(), self._token.encode()):
            return PlainTextResponse("Only the board's own page may ask for this.\n", 403)
        wanted = (request.path_params["instance"], request.path_params["environment"], self._checkout)
        try:
            for each in await asyncio.to_thread(containers.look):
                if (each["instance"], each["environment"], each["checkout"]) == wanted:
                    found = await self._comparison.run(each)
                    # A command that somebody started by hand may hold one.
                    name = each["instance"]
                    return JSONResponse(await asyncio.to_thread(containers.without_secrets, found, name))
        except BusyError:
            return PlainTextResponse("Another comparison is under way.\n", 409)
        except EngineError as error:
            return PlainTextResponse(f"{error.message}\n", 503)
        return PlainTextResponse("This checkout has no such environment.\n", 404)


def create_app(port: int, board: Board) -> Starlette:
    """Return the application of a board that browsers reach at this port."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        looking = asyncio.create_task(board.news.keep_looking())
        yield
        looking.cancel()

    routes = [
        Route("/", board.file),
        Route("/health", board.health),
        Route("/events", board.events),
        Route("/logs/{name}", board.log),
        Route("/drift/{instance}/{environment}", board.drift),
        Route("/{name}", board.file),
    ]
    return Starlette(routes=routes, lifespan=lifespan, middleware=[Middleware(Admission, port=port)])
