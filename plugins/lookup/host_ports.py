"""Which TCP ports of this host are taken, and by whom."""

from __future__ import annotations

import errno
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

from ansible.plugins.lookup import LookupBase

DOCUMENTATION = """
name: host_ports
short_description: The ports among those asked for that something on this host listens on
options:
  _terms:
    description: Ports to look at.
    type: list
    elements: int
  address:
    description: The address they would be published on.
    type: str
    default: 127.0.0.1
"""

RETURN = """
_raw:
  description:
    - One dict with C(bound) (list of ports in use) and C(holders) (port to C(command (pid N)), where the host
      tells).
  type: list
  elements: dict
"""

LISTEN = "0A"  # st column of /proc/net/tcp: include/net/tcp_states.h, TCP_LISTEN


def taken(address: str, port: int) -> bool:
    """Say whether a server could not listen there now."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
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
    """Return ``command (pid N)`` of the ports' listeners, where the host tells and they are the user's."""
    if not ports:
        return {}
    if Path("/proc/net/tcp").exists():
        return _holders_in_proc(ports)
    found = {}
    if shutil.which("lsof"):
        for port in ports:
            listing = subprocess.run(  # noqa: S603 - the port is a number
                ["lsof", "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fpc"],  # noqa: S607 - as the user's PATH finds it
                capture_output=True,
                text=True,
                check=False,
            ).stdout
            fields = {line[0]: line[1:] for line in listing.splitlines() if line}
            if {"p", "c"} <= fields.keys():
                found[port] = f"{fields['c']} (pid {fields['p']})"
    return found


def _holders_in_proc(ports: list[int]) -> dict[int, str]:
    sockets = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if not Path(table).exists():
            continue
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            port = int(fields[1].rsplit(":", 1)[1], 16)
            if fields[3] == LISTEN and port in ports:
                sockets[f"socket:[{fields[9]}]"] = port
    found = {}
    # Once for all ports: a machine has thousands of open files.
    for process in Path("/proc").glob("[0-9]*"):
        try:
            for file in (process / "fd").iterdir():
                if port := sockets.get(str(file.readlink())):
                    found[port] = f"{(process / 'comm').read_text().strip()} (pid {process.name})"
        except OSError:
            continue  # it ended meanwhile, or belongs to another user
    return found


class LookupModule(LookupBase):
    """Look at each port."""

    def run(self, terms: list[Any], variables: dict | None = None, **kwargs: Any) -> list[dict[str, Any]]:
        """Return a list with one dict, see RETURN."""
        self.set_options(var_options=variables, direct=kwargs)
        ports = [int(port) for term in terms for port in (term if isinstance(term, list) else [term])]
        bound = [port for port in ports if taken(self.get_option("address"), port)]
        return [{"bound": bound, "holders": {str(port): who for port, who in holders(bound).items()}}]
