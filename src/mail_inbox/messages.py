"""The mails that came, bounded in number and size."""

import email
import re
from collections import deque
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import default
from typing import Any

KEPT = 100
BYTES = 256 * 1024
LINK = re.compile(r"https?://[^\s<>\"']+")


@dataclass(frozen=True)
class Message:
    """A mail as people read it; ``links`` are those of its text, in their order."""

    received_at: datetime
    sender: str
    to: list[str]
    subject: str
    text: str
    links: list[str]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"received_at": self.received_at.isoformat()}


class Inbox:
    """The last :data:`KEPT` mails."""

    def __init__(self) -> None:
        self._messages: deque[Message] = deque(maxlen=KEPT)

    def add(self, to: list[str], content: bytes) -> None:
        """Keep a mail as SMTP delivered it to the addresses of its envelope."""
        mail = email.message_from_bytes(content, _class=EmailMessage, policy=default)
        text = _text(mail)
        self._messages.append(
            Message(
                received_at=datetime.now(UTC),
                sender=str(mail["From"] or ""),
                to=to,
                subject=str(mail["Subject"] or "(no subject)"),
                text=text,
                links=LINK.findall(text),
            )
        )

    def newest_first(self) -> list[Message]:
        return list(reversed(self._messages))


def _text(mail: EmailMessage) -> str:
    """The plain text; of a mail that has none, what it consists of."""
    body = mail.get_body(("plain",))
    try:
        return (
            str(body.get_content()) if body is not None else f"(no plain text, but {mail.get_content_type()})"
        )
    except (LookupError, UnicodeError):
        return "(text in an unknown character set)"
