"""The fake Schwab's pages."""

import html

from starlette.responses import HTMLResponse

from src.fake_schwab.switches import CHOICES

# RFC 6749, 5.1; what it says of caches holds for errors and for pages with parameters, too.
UNCACHED = {"Cache-Control": "no-store", "Pragma": "no-cache"}
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Fake Schwab: {title}</title>
<style>body {{font: 1rem/1.5 system-ui; max-width: 32rem; margin: 3rem auto; padding: 0 1rem}}
button {{font: inherit; padding: .4rem 1rem; margin: .2rem 0}} details button {{display: block}}</style>
</head>
<body>
<h1>{title}</h1>
{body}
<p>This is not Schwab. It is Dashtam's fake of it, for development and tests.</p>
</body>
</html>
"""


def page(title: str, body: str, status: int = 200, form_action: str = "'none'") -> HTMLResponse:
    policy = f"default-src 'none'; style-src 'unsafe-inline'; form-action {form_action}"
    return HTMLResponse(
        PAGE.format(title=title, body=body),
        status,
        UNCACHED | {"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer"},
    )


def consent_page(parameters: dict[str, str], origin: str) -> HTMLResponse:
    hidden = "\n".join(
        f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
        for name, value in parameters.items()
        if name != "choice"
    )
    buttons = [
        f'<button name="choice" value="{choice}">{html.escape(label)}</button>'
        for choice, (label, _) in CHOICES.items()
    ]
    body = "\n".join(
        (
            "<p>Dashtam wants to read your accounts. You own none here, so nothing can happen to them.</p>",
            f'<form method="post" action="/v1/oauth/authorize">\n{hidden}',
            *buttons[:2],
            "<details><summary>What can go wrong</summary>",
            *buttons[2:],
            "</details>\n</form>",
        )
    )
    # Browsers apply form-action to where the answer redirects, too.
    return page("Connect to Dashtam?", body, form_action=f"'self' {origin}")
