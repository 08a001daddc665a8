"""Which TCP ports of this host are taken and by which processes, and which programs run."""

from __future__ import annotations

import errno
import socket
from contextlib import suppress

try:
    import psutil
except ImportError:  # who holds a port stays unknown
    psutil = None


def has_ipv6() -> bool:
    """Say whether this machine's kernel speaks IPv6."""
    with suppress(OSError), socket.socket(socket.AF_INET6):
        return True
    return False


def taken(address: str, port: int) -> bool:
    """Say whether a server could not listen there now."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    if family == socket.AF_INET6 and not has_ipv6():
        return False
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # BSD and macOS let an exact address bind beside a wildcard listener, so a connection is tried first.
        target = "127.0.0.1" if address == "0.0.0.0" else address  # noqa: S104 - compared with, not listened on
        probe.settimeout(0.3)
        if probe.connect_ex((target, port)) == 0:
            return True
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def holders(ports: list[int]) -> dict[int, str]:
    """Return ``command (pid N)`` of the ports' listeners, where the host tells.

    Linux tells it of the user's own processes, macOS only root.
    """
    found: dict[int, str] = {}
    if not ports or psutil is None:
        return found
    with suppress(psutil.Error):
        for one in psutil.net_connections("tcp"):
            if one.status == psutil.CONN_LISTEN and one.laddr.port in ports and one.pid:
                found[one.laddr.port] = f"{psutil.Process(one.pid).name()} (pid {one.pid})"
    return found


def may_run(program: str) -> bool:
    """Say whether a program is among this machine's processes; where none can be seen, it may be."""
    if psutil is None or not psutil.LINUX:
        return True
    # A container's first process often reaps nobody, so dead ones stay as zombies.
    found = (each.info for each in psutil.process_iter(["name", "status"]))
    return any(each["name"] == program and each["status"] != psutil.STATUS_ZOMBIE for each in found)
