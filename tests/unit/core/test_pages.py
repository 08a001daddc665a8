"""What all pages share: their headers, and that they need nothing from elsewhere."""

import base64
import hashlib
import re

from src.core.web import pages


def page() -> tuple[str, dict[str, str]]:
    response = pages.page("Title", "<p>Text</p>", mark="good", footer="Foot")
    return bytes(response.body).decode(), dict(response.headers)


def test_the_policy_admits_the_style_and_nothing_else() -> None:
    text, headers = page()
    (style,) = re.findall("<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy == {
        "default-src": "'none'",
        "style-src": f"'sha256-{digest}'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }


def test_nothing_comes_from_elsewhere_and_nothing_runs() -> None:
    text, _ = page()
    assert not re.search(r"<(script|img|link|iframe)|\bon\w+=|style=|url\(|@import|https?:", text)


def test_it_can_be_used_by_everybody() -> None:
    """A language, one main part and heading, both colour schemes, the width of the device, zoom."""
    text, _ = page()
    assert '<html lang="en">' in text
    assert [text.count(f"<{name}>") for name in ("main", "h1")] == [1, 1]
    assert "prefers-color-scheme: dark" in text
    assert 'content="width=device-width, initial-scale=1"' in text


def colours(scheme: str) -> dict[str, str]:
    found = re.findall(r"--([a-z-]+): (#[0-9a-f]{3,6});", scheme)
    return {
        name: value if len(value) == 7 else "#" + "".join(2 * c for c in value[1:]) for name, value in found
    }


def luminance(colour: str) -> float:
    """Of WCAG 2.2, "relative luminance"."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_text_can_be_read_in_both_schemes() -> None:
    """WCAG 2.2, 1.4.3: 4.5 to 1."""
    light, _, dark = pages.STYLE.partition("@media")
    for scheme in (colours(light), colours(dark.partition("} }")[0] + ";")):
        pairs = [
            (text, ground)
            for text in ("text", "soft", "accent", "good", "bad")
            for ground in ("card", "ground")
        ]
        for text, ground in (*pairs, ("on-accent", "accent"), ("on-notice", "notice")):
            high, low = sorted((luminance(scheme[text]), luminance(scheme[ground])), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= 4.5, (text, ground)
