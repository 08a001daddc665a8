"""Ports and variables of containers, read in one way from a declaration and from the engine's answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def published(spec: Mapping[str, Any]) -> Iterator[tuple[str, int, str]]:
    """Yield what a declaration publishes: address, port of this host, and port inside with its protocol."""
    for port in spec["published_ports"]:
        address, outside, inside = port.rsplit(":", 2)
        yield address.strip("[]"), int(outside), inside if "/" in inside else f"{inside}/tcp"


def bound(found: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield the same of a container that the engine has; a port that the engine is to choose is empty.

    :param found: what the engine's inspect says of it.
    """
    for inside, bindings in (found["HostConfig"].get("PortBindings") or {}).items():
        for binding in bindings or []:
            yield binding["HostIp"], binding["HostPort"], inside


def variables(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment that the engine has in the ``Config`` of a container or of an image."""
    return dict(entry.partition("=")[::2] for entry in config.get("Env") or [])
