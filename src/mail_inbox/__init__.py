"""An inbox for whatever the app mails, in development and tests: nothing leaves this machine.

    python -m src.mail_inbox [--reload]

It takes mail for anybody by SMTP, from its network alone, and shows it on a page over HTTPS, newest first,
with links that can be followed. ``/messages`` is the same as JSON. Mail is kept in memory: the last ones,
until it stops. It does not start where ENVIRONMENT is production.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import Field, model_validator
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from src.core import logs
from src.core.config import ServerSettings, load
from src.core.web.server import serve
from src.mail_inbox.messages import Inbox
from src.mail_inbox.pages import inbox_page
from src.mail_inbox.smtp import protocol


class MailInboxSettings(ServerSettings):
    """The ports inside."""

    mail_inbox_port: int = Field(default=8025, ge=1, le=65535)
    mail_inbox_smtp_port: int = Field(default=1025, ge=0, le=65535)

    @model_validator(mode="after")
    def _never_in_production(self) -> "MailInboxSettings":
        if self.environment == "production":
            raise ValueError("ENVIRONMENT: is production, where mail must reach people")
        return self


async def health(request: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def show(request: Request) -> Response:
    return inbox_page(request.app.state.inbox.newest_first())


async def messages(request: Request) -> Response:
    found = [message.as_dict() for message in request.app.state.inbox.newest_first()]
    return JSONResponse(found, headers={"Cache-Control": "no-store"})


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    receive = protocol(app.state.inbox)
    # What is published on the machine is the page alone; SMTP is for the network's own containers.
    server = await asyncio.get_running_loop().create_server(receive, None, app.state.smtp_port)
    app.state.smtp_port = server.sockets[0].getsockname()[1]
    yield
    server.close()


def create_app(settings: MailInboxSettings | None = None) -> Starlette:
    """The server for ``settings``, by default those of the process environment."""
    settings = settings or load(MailInboxSettings)
    logs.configure(settings.log_level)
    app = Starlette(
        routes=[Route("/", show), Route("/messages", messages), Route("/health", health)], lifespan=_lifespan
    )
    app.state.inbox = Inbox()
    app.state.smtp_port = settings.mail_inbox_smtp_port
    return app


def main() -> int:
    return serve("src.mail_inbox", MailInboxSettings, lambda settings: settings.mail_inbox_port)
