"""The server's side of SMTP, by aiosmtpd."""

import asyncio
import logging
from collections.abc import Callable

from aiosmtpd.smtp import SMTP, Envelope, Session

from src.mail_inbox.messages import BYTES, Inbox

logger = logging.getLogger(__name__)


class _Keeper:
    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.content
        self._inbox.add(list(envelope.rcpt_tos), content if isinstance(content, bytes) else b"")
        logger.info("A mail was received")
        return "250 OK"


def protocol(inbox: Inbox) -> Callable[[], asyncio.Protocol]:
    """Return what ``loop.create_server`` makes for each connection; mails end in ``inbox``."""

    def make() -> asyncio.Protocol:
        return SMTP(
            _Keeper(inbox),
            hostname="mail",
            ident="Dashtam's inbox",
            data_size_limit=BYTES,
            timeout=30,
            loop=asyncio.get_running_loop(),
        )

    return make
