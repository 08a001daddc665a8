"""The address that `make status` and the board show for a browser."""

from __future__ import annotations

from typing import Any

import pytest

from tests.by_path import load

addresses = load("plugins/module_utils/addresses.py")


def container(
    *env: str, port: str = "8182", check: str = "curl https://localhost:8182/health"
) -> dict[str, Any]:
    bindings = {f"{port}/tcp": [{"HostIp": "127.0.0.1", "HostPort": port}]} if port else {}
    return {
        "Config": {"Env": list(env), "Healthcheck": {"Test": ["CMD-SHELL", check]}},
        "HostConfig": {"PortBindings": bindings},
    }


@pytest.mark.parametrize(
    ("found", "known", "url"),
    [
        (container(), [], "https://localhost:8182"),
        # What is registered with Schwab; a cookie of one is none of the other.
        (container(), ["SCHWAB_REDIRECT_URI=https://127.0.0.1:8182"], "https://127.0.0.1:8182"),
        (container(), ["SCHWAB_REDIRECT_URI=https://127.0.0.1:8183"], "https://localhost:8182"),
        (
            container(),
            ["REDIRECT_URI=https://127.0.0.1:8182", "URL=https://localhost:8182"],
            "https://localhost:8182",
        ),
        (
            container(check="curl http://localhost:8182/"),
            ["URL=http://127.0.0.1:8182"],
            "http://127.0.0.1:8182",
        ),
        (container(port=""), ["SCHWAB_REDIRECT_URI=https://127.0.0.1:8182"], None),
        (container(check="pg_isready"), ["SCHWAB_REDIRECT_URI=https://127.0.0.1:8182"], None),
    ],
)
def test_a_browsers_address_is_the_one_that_its_neighbours_use(
    found: dict[str, Any], known: list[str], url: str | None
) -> None:
    assert addresses.browser_url(found, [found, container(*known, port="8000")]) == url
