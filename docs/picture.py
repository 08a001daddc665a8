"""Draw the picture in README.md and docs/architecture.md from the committed plans of dev and test.

Usage: python -m docs.picture [--check]
"""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

from tests.by_path import ROOT, load

PLANS = [ROOT / f"tests/provisioning/plans/{name}.yml" for name in ("dev", "test")]
PAGES = [ROOT / "README.md", ROOT / "docs/architecture.md"]
BEGIN = "<!-- Drawn by docs/picture.py from tests/provisioning/plans. -->\n"
END = "<!-- End of the picture. -->\n"


def picture() -> str:
    """Return the picture as a Markdown block."""
    plans = {name: plan for path in PLANS for name, plan in yaml.safe_load(path.read_text()).items()}
    drawn = load("plugins/filter/plan_mermaid.py").plan_mermaid(plans)
    return f"```mermaid\n{drawn}```\n"


def drawn(page: Path) -> str:
    """Return a page's text with the picture between the markers.

    :raises ValueError: the markers are missing.
    """
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page}: the picture goes between the lines\n{BEGIN}{END}")
    return f"{before}{BEGIN}{picture()}{END}{after}"


def main(arguments: list[str]) -> str | None:
    """Write the pictures, or with ``--check`` return which of them are out of date."""
    stale = {page: text for page in PAGES if (text := drawn(page)) != page.read_text(encoding="utf-8")}
    if "--check" in arguments:
        return "\n".join(f"{page}: its picture is out of date; run make generate" for page in stale) or None
    for page, text in stale.items():
        page.write_text(text, encoding="utf-8")
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
