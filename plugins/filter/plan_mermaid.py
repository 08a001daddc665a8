"""Draws a plan: containers in their networks, volumes, published ports, and who connects to whom."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ansible_collections.dashtam.stack.plugins.module_utils.filter_module import filters

# A URL names the port, as everything declared does; what comes before @ is a user and a password.
URL = re.compile(r"(?P<scheme>\w+)(?:\+\w+)?://(?:[^@/\s]*@)?(?P<host>[\w.-]+):(?P<port>\d+)")
MACHINE = 'machine(["this machine: browser, psql, redis-cli"])'


def identifier(name: str) -> str:
    """Return the name as Mermaid takes it for a node."""
    return re.sub(r"\W", "_", name)


def connections(containers: dict[str, dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """Yield who connects to whom and what they speak, as the URLs in the containers' variables say."""
    for name, spec in containers.items():
        for url in filter(None, map(URL.match, spec["env"].values())):
            for other, target in containers.items():
                reached = target["network"] == spec["network"] and url["host"] in target["aliases"]
                if reached and other != name:
                    yield name, other, f"{url['scheme']} {url['port']}"


def arrows(containers: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Yield a line for each published port, connection and volume."""
    for name, spec in containers.items():
        for port in spec["published_ports"]:
            address = port.rpartition(":")[0]
            yield f'machine -->|"{address}"| {identifier(name)}'
    for name, other, spoken in dict.fromkeys(connections(containers)):
        yield f'{identifier(name)} -->|"{spoken}"| {identifier(other)}'
    for name, spec in containers.items():
        for mount in spec["mounts"]:
            if mount["type"] == "volume":
                volume = mount["source"]
                yield f'{identifier(name)} --- {identifier(volume)}[("{volume}")]'


def plan_mermaid(plans: dict[str, dict[str, Any]]) -> str:
    """Return a Mermaid flowchart of environments.

    :param plans: environment to its plan, with ``containers`` and ``networks`` by name.
    """
    published = any(
        spec["published_ports"] for plan in plans.values() for spec in plan["containers"].values()
    )
    lines = ["flowchart LR", *([MACHINE] if published else [])]
    for plan in plans.values():
        for network, settings in plan["networks"].items():
            title = f"{network}, no route out" if settings["internal"] else network
            lines.append(f'subgraph {identifier(network)}["{title}"]')
            lines += [
                f'  {identifier(name)}["{name}"]'
                for name, spec in plan["containers"].items()
                if spec["network"] == network
            ]
            lines.append("end")
        lines += arrows(plan["containers"])
    return "\n  ".join(lines) + "\n"


FilterModule = filters(plan_mermaid)
