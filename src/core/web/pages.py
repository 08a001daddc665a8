"""The one look of all pages that browsers show, and the headers that they go out with.

A page is complete in itself: one inline style, which the Content-Security-Policy admits by its hash, no
script, nothing from elsewhere. It follows the system's light or dark colours and fits a telephone. Callers
escape what they insert.
"""

import base64
import hashlib
from datetime import UTC, datetime
from typing import Literal

from starlette.responses import HTMLResponse

Mark = Literal["good", "bad", "none"]

# Contrast of text is 4.5:1 or more in both schemes (WCAG 2.2, 1.4.3), targets are 44 px high (2.5.5).
STYLE = """
:root { color-scheme: light dark; --ground: #f3f5f8; --card: #fff; --text: #1b2330; --soft: #556074;
  --line: #d8dee8; --accent: #1857c0; --on-accent: #fff; --good: #11703b; --bad: #b3261e;
  --notice: #fff3d1; --on-notice: #5f4300; }
@media (prefers-color-scheme: dark) { :root { --ground: #11151b; --card: #1a2029; --text: #e7ebf1;
  --soft: #a5afbe; --line: #354050; --accent: #8fb7ff; --on-accent: #0a1a33; --good: #6fd69a; --bad: #ff9e96;
  --notice: #392e11; --on-notice: #ffdc85; } }
* { box-sizing: border-box; }
body { margin: 0; padding: clamp(1rem, 6vw, 3.5rem) 1rem; background: var(--ground); color: var(--text);
  font: 1rem/1.55 system-ui, sans-serif; overflow-wrap: anywhere; }
header, main, footer { max-width: 36rem; margin: 0 auto; }
header { padding-bottom: .75rem; font-weight: 700; letter-spacing: .01em; }
header::before { content: ""; display: inline-block; width: .8em; height: .8em; margin-right: .5em;
  border-radius: .2em; background: var(--accent); }
main { padding: clamp(1.25rem, 5vw, 2.25rem); background: var(--card); border: 1px solid var(--line);
  border-radius: .75rem; }
main > :first-child { margin-top: 0; }
main > :last-child { margin-bottom: 0; }
footer { padding: .75rem 0; color: var(--soft); font-size: .875rem; }
h1 { margin: 0 0 .75rem; font-size: clamp(1.35rem, 5vw, 1.75rem); line-height: 1.25; text-wrap: balance; }
h2 { margin: 0; font-size: 1.05rem; }
a { color: var(--accent); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.mark { display: block; width: 3rem; height: 3rem; margin-bottom: .75rem; fill: none; stroke: currentColor;
  stroke-width: 1.75; stroke-linecap: round; stroke-linejoin: round; }
.good { color: var(--good); }
.bad { color: var(--bad); }
.notice { padding: .75rem 1rem; border-radius: .5rem; background: var(--notice); color: var(--on-notice); }
dl { display: grid; grid-template-columns: auto 1fr; gap: .4rem 1.25rem; margin: 1.25rem 0;
  padding: 1rem 0; border: solid var(--line); border-width: 1px 0; }
dt { color: var(--soft); }
dd { margin: 0; font-weight: 600; }
label { display: block; margin: 1rem 0 .35rem; font-weight: 600; }
input { width: 100%; min-height: 2.75rem; padding: .5rem .75rem; font: inherit; color: inherit;
  background: var(--ground); border: 1px solid var(--soft); border-radius: .5rem; }
input[aria-invalid] { border-color: var(--bad); border-width: 2px; }
.hint { margin: .35rem 0 0; color: var(--soft); font-size: .9rem; }
.buttons { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1.25rem 0; }
.buttons:last-child { margin-bottom: 0; }
button { min-height: 2.75rem; padding: .5rem 1.25rem; font: inherit; font-weight: 600; color: var(--accent);
  background: transparent; border: 1px solid currentColor; border-radius: .5rem; cursor: pointer; }
button.first { color: var(--on-accent); background: var(--accent); border-color: var(--accent); }
details { margin-top: 1.25rem; padding-top: 1rem; border-top: 1px solid var(--line); }
summary { cursor: pointer; font-weight: 600; }
details button { display: block; width: 100%; margin-top: .5rem; font-weight: 400; text-align: left; }
article { padding: 1rem 0; border-top: 1px solid var(--line); }
article p { margin: .35rem 0; white-space: pre-line; }
@media (max-width: 30rem) { dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .6rem; }
  .buttons button { flex: 1 1 100%; } }
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
_SHAPES: dict[Mark, str] = {
    "good": '<path d="M7 12.5l3.4 3.4L17 9"/>',
    "bad": '<path d="M8.5 8.5l7 7m0-7l-7 7"/>',
    "none": "",
}
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} - {site}</title>
<style>{style}</style>
</head>
<body>
<header>{site}</header>
<main>
{mark}<h1>{title}</h1>
{body}
</main>
{footer}</body>
</html>
"""


def headers(form_action: str = "'none'") -> dict[str, str]:
    """Return the headers of a page.

    Addresses of our pages carry codes and tokens: no cache may keep a page, no other site may learn its
    address.

    :param form_action: where its forms may be sent, as the policy has it; browsers hold redirects to it, too.
    """
    return {
        "Cache-Control": "no-store",
        "Content-Security-Policy": (
            f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; "
            f"form-action {form_action}; frame-ancestors 'none'"
        ),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }


def page(
    title: str,
    body: str,
    status: int = 200,
    *,
    mark: Mark = "none",
    site: str = "Dashtam",
    footer: str = "",
    form_action: str = "'none'",
    more_headers: dict[str, str] | None = None,
) -> HTMLResponse:
    """Return a page.

    :param title: HTML, as ``body``, ``site`` and ``footer`` are.
    :param mark: the sign above the title; it only repeats what the title says.
    """
    shape = _SHAPES[mark]
    drawn = f'<circle cx="12" cy="12" r="10"/>{shape}'
    sign = f'<svg class="mark {mark}" viewBox="0 0 24 24" aria-hidden="true">{drawn}</svg>\n'
    text = PAGE.format(
        title=title,
        body=body,
        site=site,
        style=STYLE,
        mark=sign if shape else "",
        footer=f"<footer>{footer}</footer>\n" if footer else "",
    )
    return HTMLResponse(text, status, headers(form_action) | (more_headers or {}))


def facts(*pairs: tuple[str, str]) -> str:
    """Return a list of names and values, both HTML; those without a value are left out."""
    rows = "\n".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in pairs if value)
    return f"<dl>\n{rows}\n</dl>"


def when(moment: datetime) -> str:
    """Return a moment as HTML, to the minute, in UTC: without a script nobody knows the reader's own zone."""
    utc = moment.astimezone(UTC)
    return f'<time datetime="{utc:%Y-%m-%dT%H:%M:%SZ}">{utc.day} {utc:%B %Y, %H:%M} UTC</time>'
