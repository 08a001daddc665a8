"""A debugger's side of the Debug Adapter Protocol, as far as a breakpoint needs it.

https://microsoft.github.io/debug-adapter-protocol/overview
"""

from __future__ import annotations

import itertools
import json
import socket
from typing import Any

SECONDS = 20


class Session:
    """A connection to debugpy, which is attached to one process."""

    def __init__(self, port: int, attach: dict[str, Any]) -> None:
        """Connect; the process stops nowhere before :meth:`break_at`."""
        self._socket = socket.create_connection(("127.0.0.1", port), SECONDS)
        self._stream = self._socket.makefile("rb")
        self._numbers = itertools.count(1)
        self._send("initialize", adapterID="debugpy", linesStartAt1=True, pathFormat="path")
        self._send("attach", **attach)
        self.wait_for("initialized")

    def break_at(self, path: str, line: int) -> None:
        """Set the one breakpoint, and let the process go on."""
        self._send("setBreakpoints", source={"path": path}, breakpoints=[{"line": line}])
        self.go_on()

    def go_on(self) -> None:
        """Say that all is set."""
        self._send("configurationDone")

    def wait_for(self, event: str) -> dict[str, Any]:
        """Return what comes with the next event of that name; TimeoutError if none comes for a while."""
        while True:
            length = 0
            while line := self._stream.readline().strip():
                length = int(line.removeprefix(b"Content-Length:"))
            message = json.loads(self._stream.read(length))
            if message.get("event") == event:
                body: dict[str, Any] = message.get("body") or {}
                return body

    def close(self) -> None:
        """Disconnect; the process goes on."""
        self._stream.close()
        self._socket.close()

    def _send(self, command: str, **arguments: Any) -> None:
        request = {"seq": next(self._numbers), "type": "request", "command": command, "arguments": arguments}
        body = json.dumps(request).encode()
        self._socket.sendall(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
