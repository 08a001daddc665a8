"""Serve the board until Ctrl-C, or say where it is.

python -m playbooks.board [--port 8900] [--where]
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import signal
import socket
import ssl
import sys
import urllib.request
from types import FrameType
from typing import Any

from playbooks.board import CHECKOUT

PORT = 8900
CERTIFICATES = CHECKOUT / "certs"


class BoardError(Exception):
    """What is wrong and what to do, in one line."""


def port(text: str) -> int:
    """Return a port. Raises argparse.ArgumentTypeError."""
    if not text.isdecimal() or not 1024 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port from 1024 to 65535")
    return int(text)


def certificates() -> dict[str, Any]:
    """Return uvicorn's options for TLS. Raises BoardError."""
    files = {"ssl_certfile": CERTIFICATES / "cert.pem", "ssl_keyfile": CERTIFICATES / "key.pem"}
    for file in files.values():
        try:
            file.open("rb").close()
        except OSError as error:
            raise BoardError(
                f"certs/{file.name} cannot be read: {error.strerror}. Make it: make certs"
            ) from None
    return {option: str(file) for option, file in files.items()}


def listener(number: int) -> socket.socket:
    """Return a socket that listens on 127.0.0.1. Raises BoardError."""
    try:
        return socket.create_server(("127.0.0.1", number))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise BoardError(
            f"Port {number} is taken, perhaps by another board. "
            f"Choose one: make board BOARD_PORT={number + 1}"
        ) from None


def where(number: int) -> str:
    """Return the address of this checkout's board, which has to run. Raises BoardError."""
    url = f"https://localhost:{number}"
    missing = f"This checkout's board does not run on port {number}. Start it: make board"
    try:
        context = ssl.create_default_context(cafile=str(CERTIFICATES / "ca.pem"))
        with urllib.request.urlopen(f"{url}/health", timeout=5, context=context) as answer:  # noqa: S310 - https
            if json.load(answer).get("board") != str(CHECKOUT):
                raise BoardError(missing)
    except (OSError, ValueError, AttributeError):
        raise BoardError(missing) from None
    return url


def serve(number: int) -> None:
    """Serve until a signal ends it. Raises BoardError."""
    options = certificates()
    sockets = [listener(number)]
    # After what can be wrong: it takes half a second.
    import uvicorn

    from playbooks.board.app import Board, create_app

    board = Board()

    class Server(uvicorn.Server):
        """Ends streams, which would never end by themselves."""

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            super().handle_exit(sig, frame)
            board.news.close()

    config = uvicorn.Config(
        create_app(number, board),
        **options,
        # Streams that the end cuts short are no errors.
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        lifespan="on",
        timeout_graceful_shutdown=1,
    )
    sys.stdout.write(f"The board is at https://localhost:{number}  (Ctrl-C ends it)\n")
    sys.stdout.flush()
    Server(config).run(sockets)


def main() -> int:
    """Do what the command line says; an exit code."""
    parser = argparse.ArgumentParser(prog="make board", usage="make board [BOARD_PORT=8900]")
    parser.add_argument("--port", metavar="BOARD_PORT", type=port, default=PORT)
    parser.add_argument("--where", action="store_true")
    asked = parser.parse_args()
    try:
        if asked.where:
            sys.stdout.write(f"{where(asked.port)}\n")
            return 0
        # uvicorn raises the signal once more when it has ended. A closed terminal is a way to end, too.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
        with contextlib.suppress(KeyboardInterrupt):
            serve(asked.port)
    except BoardError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    with contextlib.suppress(OSError):
        sys.stdout.write("\nThe board has ended.\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
