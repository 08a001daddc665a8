"""Mail by SMTP (RFC 5321), to the server that SMTP_HOST names."""

import asyncio
import logging
from email.message import EmailMessage
from email.utils import formatdate, make_msgid, parseaddr

from src.core.config import Settings
from src.core.security.tls import client_context

# Seconds for the whole delivery. Whoever registers waits for it.
TIMEOUT = 15.0

logger = logging.getLogger(__name__)


def sender_domain(settings: Settings) -> str:
    """Return MAIL_FROM's domain. It stands where a machine's own name would, which is nobody's business."""
    return parseaddr(settings.mail_from)[1].rpartition("@")[2]


def message(settings: Settings, to: str, subject: str, text: str) -> EmailMessage:
    """Return a mail from MAIL_FROM. Raises ``ValueError`` for a header with a line break."""
    mail = EmailMessage()
    mail["From"] = settings.mail_from
    mail["To"] = to
    mail["Subject"] = subject
    mail["Date"] = formatdate()
    mail["Message-ID"] = make_msgid(domain=sender_domain(settings))
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no "out of office" answers
    mail.set_content(text)
    return mail


async def deliver(settings: Settings, to: str, subject: str, text: str) -> None:
    """Hand a mail for ``to``, and for nobody else, to the server.

    What goes wrong is logged, without the mail's text, for by now what the mail speaks of is committed.
    Certificates are verified; a server that does not offer the TLS that SMTP_SECURITY asks for gets nothing.
    """
    import aiosmtplib  # not on top: every start would pay for it

    password = settings.smtp_password.get_secret_value()
    context = None if settings.smtp_security == "none" else client_context(settings.tls_ca_file)
    try:
        async with asyncio.timeout(TIMEOUT):
            await aiosmtplib.send(
                message(settings, to, subject, text),
                recipients=[to],
                hostname=settings.smtp_host,
                port=settings.smtp_port,
                local_hostname=sender_domain(settings),
                username=settings.smtp_user or None,
                password=password or None,
                use_tls=settings.smtp_security == "tls",
                start_tls=settings.smtp_security == "starttls",
                tls_context=context,
                timeout=TIMEOUT,
            )
    except (aiosmtplib.SMTPException, OSError, ValueError) as error:
        server = f"{settings.smtp_host}:{settings.smtp_port}"
        logger.error("%s did not take a mail: %s: %s", server, type(error).__name__, error)
