"""Mail with a link in it.

There is no transport yet. Outside production the mail is a line of the log, where a developer and the tests
find its link; in production, where it would reach nobody and its link would be a secret in a log, whatever
needs a mail refuses with 503 before it changes anything.
"""

import logging
from dataclasses import dataclass, field
from urllib.parse import quote

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
    path: str
    token: str = field(repr=False)


def verification(to: str, token: str) -> Mail:
    return Mail(to, "Confirm your address", "/verify-email", token)


def password_reset(to: str, token: str) -> Mail:
    return Mail(to, "Choose a new password", "/reset-password", token)


def announce(settings: Settings) -> None:
    """Say at the start what will not work."""
    if settings.environment == "production":
        logger.warning("No mail can be sent from here yet: registrations and password resets answer 503")


def require_transport(settings: Settings) -> None:
    """:class:`MailUnavailable` where :func:`send` could not keep its promise."""
    if settings.environment == "production":
        raise MailUnavailable


def send(settings: Settings, mail: Mail) -> None:
    """Send ``mail``, once what it speaks of is committed."""
    require_transport(settings)
    link = f"{settings.public_url.rstrip('/')}{mail.path}?token={quote(mail.token, safe='')}"
    logger.info("Mail to %s: %s: %s", mail.to, mail.subject, link)
