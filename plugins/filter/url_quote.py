"""Filter for building URLs from values that may hold any character."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote


def url_quote(value: Any) -> str:
    """Percent-encode all but letters, digits and `_.-~`; slashes too, which Jinja's `urlencode` leaves."""
    return quote(str(value), safe="")


class FilterModule:
    """Filters of the keys role."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"url_quote": url_quote}
