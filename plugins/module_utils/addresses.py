"""Where a browser, and a tool on this machine, reach what containers publish."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.dashtam.stack.plugins.module_utils.container_parts import bound, variables

URL = re.compile(r"^[a-z][a-z0-9+]*://[^\s/@]*@?[\w.-]+:\d+(/|$)")
# A service whose variables or arguments name a certificate speaks TLS alone.
CERTIFICATE = re.compile(r"(TLS_CERT|SSL_CERT|ssl-certfile)", re.IGNORECASE)


def _published(found: dict[str, Any], inside: str = "") -> str:
    """Return the port on this machine of a port inside, or of the first one; nothing if there is none."""
    ports = (outside for _, outside, port in bound(found) if inside in ("", port.split("/")[0]))
    return next(ports, "")


def _names(found: dict[str, Any]) -> set[str]:
    networks = (found["NetworkSettings"].get("Networks") or {}).values()
    return {alias for network in networks for alias in network.get("Aliases") or []}


def browser_url(found: dict[str, Any], beside: Iterable[dict[str, Any]]) -> str | None:
    """Return the address of a service whose health check speaks HTTP, None if it has none on this machine.

    Its host is the one by which itself or a container beside it calls that port, such as in a redirect URI
    that is registered with a provider: to a browser, 127.0.0.1 and localhost are different sites.

    :param found: what the engine's inspect says of the container.
    :param beside: the same of the containers whose variables are looked at.
    """
    config, port = found["Config"], _published(found)
    test = " ".join((config.get("Healthcheck") or {}).get("Test") or [])
    if not port or "http" not in test.lower():
        return None
    texts = [*variables(config), *(config.get("Cmd") or []), test]
    tls = "https://" in test or any(CERTIFICATE.search(text) for text in texts)
    base = f"{'https' if tls else 'http'}://localhost:{port}"
    known = {value for each in beside for value in variables(each["Config"]).values()}
    by_address = base.replace("localhost", "127.0.0.1")
    return by_address if by_address in known and base not in known else base


def tool_url(found: dict[str, Any], beside: Iterable[dict[str, Any]], show: bool) -> str | None:
    """Return the address that a tool such as psql takes, None if no container beside it has one.

    Containers of the same network have it among their variables, with the name and the port inside. Of
    several, the variable with the shortest name counts: DATABASE_URL before APP_DATABASE_URL.

    :param found: what the engine's inspect says of the server's container.
    :param beside: the same of the containers whose variables are looked at.
    :param show: whether the password may be in it.
    """
    names, networks = _names(found), set(found["NetworkSettings"].get("Networks") or {})
    urls = {
        variable: value
        for other in beside
        if networks & set(other["NetworkSettings"].get("Networks") or {})
        for variable, value in variables(other["Config"]).items()
        if URL.match(value)
    }
    for _, value in sorted(urls.items(), key=lambda each: (len(each[0]), each[0])):
        try:
            parts = urlsplit(value)
            port = _published(found, str(parts.port))
        except ValueError:
            continue  # a password with [ that was not encoded, or a port that is no number
        if parts.hostname in names and port and not parts.scheme.startswith("http"):
            user = parts.netloc.rpartition("@")[0]
            user = user if show else user.partition(":")[0]
            return f"{parts.scheme.partition('+')[0]}://{user}{user and '@'}localhost:{port}{parts.path}"
    return None
