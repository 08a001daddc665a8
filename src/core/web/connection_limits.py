"""How long a client may take, which uvicorn leaves open: for the TLS handshake, each request and each answer.

uvicorn itself limits the size of the headers (with h11), how many connections are served at a time, and how
long one may stay open between two requests. :mod:`src.core.web.requests` limits the size of a body. Who
merely connects, and floods from many addresses, are for a proxy or a firewall to stop.
"""

import asyncio
from typing import Any

import h11
import uvloop
from uvicorn.protocols.http.h11_impl import H11Protocol

# Seconds.
HANDSHAKE = 10.0
REQUEST = 10.0
TLS_SHUTDOWN = 5.0
# Bytes.
SLICE = 4096


class Loop(uvloop.Loop):
    """The default loop, but that TLS must be agreed on in time; uvicorn has no setting for it."""

    def create_server(self, *arguments: Any, **options: Any) -> Any:
        if options.get("ssl"):
            options |= {"ssl_handshake_timeout": HANDSHAKE, "ssl_shutdown_timeout": TLS_SHUTDOWN}
        return super().create_server(*arguments, **options)


class Protocol(H11Protocol):
    """HTTP/1.1 with a deadline for each request: headers and body must be complete in ``REQUEST`` seconds.

    The time counts from the connection, later from the first byte of a request. uvicorn closes a connection
    that is idle between requests. An answer may take its time, but a client that stops reading it is cut off
    after as long.
    """

    _deadline: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._deadline = self.loop.call_later(REQUEST, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        self._is_read()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.call_later(REQUEST, self.transport.abort)

    def resume_writing(self) -> None:
        self._is_read()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        # h11 compares with the limit only what is incomplete: headers that arrive all at once would pass.
        for start in range(0, len(data), SLICE):
            if not self.transport.is_closing():
                super().data_received(data[start : start + SLICE])

    def handle_events(self) -> None:
        super().handle_events()
        state = self.conn.their_state
        if state is not h11.SEND_BODY and not (state is h11.IDLE and self.conn.trailing_data[0]):
            self._stop_clock()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(REQUEST, self.transport.abort)

    def _is_read(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
