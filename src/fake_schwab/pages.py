"""The fake Schwab's pages."""

import html

from starlette.responses import HTMLResponse

from src.core.web import pages
from src.fake_schwab.switches import CHOICES

# RFC 6749, 5.1; what it says of caches holds for errors and for pages with parameters, too.
UNCACHED = {"Cache-Control": "no-store", "Pragma": "no-cache"}
NOTICE = (
    '<p class="notice">This is not Schwab. It is Dashtam\'s fake of it, for development and tests: '
    "no real account is involved.</p>"
)


def page(title: str, body: str, status: int = 200, form_action: str = "'none'") -> HTMLResponse:
    """Return a page; ``title`` and ``body`` are HTML, ``form_action`` is the policy's."""
    return pages.page(
        title,
        f"{NOTICE}\n{body}",
        status,
        site="Fake Schwab",
        form_action=form_action,
        more_headers=UNCACHED,
    )


def consent_page(parameters: dict[str, str], origin: str) -> HTMLResponse:
    """Return the page on which a person decides.

    :param parameters: the request's own, which come back with the form.
    :param origin: of the redirect address.
    """
    hidden = "\n".join(
        f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
        for name, value in parameters.items()
        if name != "choice"
    )
    (first, *buttons) = [
        f'<button name="choice" value="{choice}">{html.escape(label)}</button>'
        for choice, (label, _) in CHOICES.items()
    ]
    body = "\n".join(
        (
            "<p>The application <strong>Dashtam</strong> asks to read your accounts.</p>",
            f'<form method="post" action="/v1/oauth/authorize">\n{hidden}',
            '<div class="buttons">',
            first.replace("<button", '<button class="first"'),
            buttons[0],
            "</div>",
            "<details><summary>Try what can go wrong</summary>",
            *buttons[1:],
            "</details>\n</form>",
        )
    )
    # Browsers apply form-action to where the answer redirects, too.
    return page("Connect to Dashtam?", body, form_action=f"'self' {origin}")
