"""The inbox as a page."""

import html
from collections.abc import Sequence

from starlette.responses import HTMLResponse

from src.core.web import pages
from src.mail_inbox.messages import KEPT, LINK, Message

FOOTER = (
    f"Mail of this environment ends here: none of it reaches anybody. The last {KEPT} are kept in memory. "
    '<a href="/messages">As JSON</a>'
)


def inbox_page(messages: Sequence[Message]) -> HTMLResponse:
    """Return the page with ``messages`` in their order."""
    count = {0: "No mail yet", 1: "One mail"}.get(len(messages), f"{len(messages)} mails, newest first")
    body = f'<p>{count}. <a href="/">Look again</a></p>\n' + "\n".join(map(_article, messages))
    return pages.page("Inbox", body, site="Dashtam mail", footer=FOOTER)


def _article(message: Message) -> str:
    return (
        f"<article>\n<h2>{html.escape(message.subject)}</h2>\n"
        f'<p class="hint">To {html.escape(", ".join(message.to))}, {pages.when(message.received_at)}</p>\n'
        f"<p>{_linked(message.text.strip())}</p>\n</article>"
    )


def _linked(text: str) -> str:
    """The text as HTML, in which addresses are links."""
    parts, end = [], 0
    for match in LINK.finditer(text):
        address = html.escape(match[0])
        parts += [
            html.escape(text[end : match.start()]),
            f'<a href="{address}" rel="noreferrer">{address}</a>',
        ]
        end = match.end()
    return "".join([*parts, html.escape(text[end:])])
