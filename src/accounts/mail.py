"""Mail with a link in it.

It goes to the SMTP server that SMTP_HOST names. Outside production each mail is also a line of the log,
where a developer and the tests find its link without any server. In production the link would be a secret in
a log; there, without a server, whatever needs a mail refuses with 503 before it changes anything.
"""

import logging
from dataclasses import dataclass, field
from urllib.parse import quote

from src.accounts import smtp
from src.core.config import Settings
from src.core.web.problems import Problem

logger = logging.getLogger(__name__)


class MailUnavailable(Problem):
    def __init__(self) -> None:
        super().__init__(503, "mail-unavailable", "Mail cannot be sent from here yet, and this needs one.")


@dataclass(frozen=True)
class Mail:
    to: str
    subject: str
    # With a place for the link.
    text: str
    path: str
    token: str = field(repr=False)


def verification(to: str, token: str) -> Mail:
    text = (
        "Somebody, probably you, registered this address with Dashtam.\n"
        "To confirm it, open this link within 24 hours:\n\n{link}\n\n"
        "If it was not you, ignore this mail. Nobody can log in with an address that is not confirmed.\n"
    )
    return Mail(to, "Confirm your address", text, "/verify-email", token)


def password_reset(to: str, token: str) -> Mail:
    text = (
        "Somebody, probably you, wants to choose a new password for Dashtam.\n"
        "To do so, open this link within an hour:\n\n{link}\n\n"
        "If it was not you, ignore this mail. Your password stays as it is.\n"
    )
    return Mail(to, "Choose a new password", text, "/reset-password", token)


def announce(settings: Settings) -> None:
    """Say at the start where mail goes, or what will not work."""
    if settings.smtp_host:
        logger.info("Mail is sent by %s:%d", settings.smtp_host, settings.smtp_port)
    elif settings.environment == "production":
        logger.warning("SMTP_HOST is empty: no mail is sent, registrations and resets answer 503")


def require_transport(settings: Settings) -> None:
    """:class:`MailUnavailable` where :func:`send` could not keep its promise."""
    if settings.environment == "production" and not settings.smtp_host:
        raise MailUnavailable


async def send(settings: Settings, mail: Mail) -> None:
    """Send ``mail``, once what it speaks of is committed.

    If the server does not take it, that is logged, and the user asks for another one.
    """
    require_transport(settings)
    link = f"{settings.public_url.rstrip('/')}{mail.path}?token={quote(mail.token, safe='')}"
    if settings.environment != "production":
        logger.info("Mail to %s: %s: %s", mail.to, mail.subject, link)
    if settings.smtp_host:
        await smtp.deliver(settings, mail.to, mail.subject, mail.text.format(link=link))
