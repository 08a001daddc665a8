"""Which published ports somebody else holds, and which ones are free."""

from __future__ import annotations

from typing import Any

from ansible_collections.dashtam.stack.plugins.module_utils.container_parts import bound, published
from ansible_collections.dashtam.stack.plugins.module_utils.filter_module import filters

# What the engine listens with on behalf of a container.
PROXY = "docker-proxy"
LOOPING = ("running", "restarting")


def _proxied(container: dict[str, Any], holder: str) -> bool:
    """Say whether the engine listens for one of our containers that ends again and again.

    It has no port at the moment that the engine is asked, and its proxy a moment later.
    """
    return holder.startswith(PROXY) or container["State"]["Status"] in LOOPING


def container_port_clashes(
    specs: list[dict[str, Any]], survey: dict[str, Any], taken: list[int], holders: dict[Any, str]
) -> list[dict[str, Any]]:
    """Return the published ports that somebody else holds.

    :param specs: declared containers.
    :param survey: what ``docker_survey`` returned.
    :param taken: ports that the host says are in use.
    :param holders: port to a process's description, where the host could tell.
    :returns: dicts with ``port`` (int), ``spec`` (the container that wants it) and ``holder`` (for people). A
        stopped container of another instance counts: it would fail to start later.
    """
    ours = {spec["name"] for spec in specs}
    declared = {
        int(outside): name
        for name, found in survey["containers"].items()
        for _, outside, _ in bound(found)
        if outside
    }
    known = {str(port): holder for port, holder in holders.items()}
    clashes = []
    for spec in specs:
        for _, port, _ in published(spec):
            now = survey["ports"].get(str(port))
            name = now or declared.get(port)
            holder = known.get(str(port), "another program")
            if name and name not in ours:
                holder = f"the container {name}"
            elif port not in taken or now or (name and _proxied(survey["containers"][name], holder)):
                continue
            clashes.append({"port": port, "spec": spec["name"], "holder": holder})
    return clashes


def published_ports(specs: list[dict[str, Any]]) -> list[tuple[str, int]]:
    """Return the addresses and ports of this host that the specs publish."""
    return [(address, port) for spec in specs for address, port, _ in published(spec)]


def port_candidates(clashes: list[dict[str, Any]]) -> list[int]:
    """Return the ports that :func:`port_lines` may propose, for the host to say which are in use."""
    return [clash["port"] + 1000 + more for clash in clashes for more in range(20)]


def with_free_ports(
    clashes: list[dict[str, Any]], survey: dict[str, Any], taken: list[int]
) -> list[dict[str, Any]]:
    """Return the clashes, each with ``free``: the next port that nobody holds, a thousand up.

    :param clashes: what :func:`container_port_clashes` returned.
    :param survey: what ``docker_survey`` returned; a port of any of its containers is not proposed.
    :param taken: what the host says is in use of :func:`port_candidates`.
    """
    held = {
        int(outside) for found in survey["containers"].values() for _, outside, _ in bound(found) if outside
    }
    held |= {int(port) for port in survey["ports"]} | set(taken)
    proposed = []
    for clash in clashes:
        port = clash["port"] + 1000
        while port in held:
            port += 1
        held.add(port)
        proposed.append(clash | {"free": port})
    return proposed


def port_lines(clashes: list[dict[str, Any]], prefix: str, more: dict[str, Any] | None = None) -> list[str]:
    """Return the lines that move the clashing ports, each variable once.

    :param clashes: what :func:`with_free_ports` returned.
    :param prefix: what precedes the service in the containers' names.
    :param more: variables, beside each service's ``_host_port``, that publish a port: name to the port of
        this host, to a dict whose values are such ports, or to nothing.
    """
    free = {clash["port"]: clash["free"] for clash in clashes}
    lines, told = [], set()
    for name, value in (more or {}).items():
        ports = value if isinstance(value, dict) else {"": value}
        moved = {inside: int(port) for inside, port in ports.items() if port not in (None, "")}
        if not (clashing := free.keys() & set(moved.values())):
            continue
        told |= clashing
        shown = {inside: free.get(port, port) for inside, port in moved.items()}
        pairs = ", ".join(f"{inside}: {port}" for inside, port in shown.items())
        lines.append(f"{name}: {{{pairs}}}" if isinstance(value, dict) else f"{name}: {shown['']}")
    main = [
        f"{clash['spec'].removeprefix(prefix).replace('-', '_')}_host_port: {clash['free']}"
        for clash in clashes
        if clash["port"] not in told
    ]
    return main + lines


FilterModule = filters(port_lines)
