"""An app of ours, served for real: a thread of this worker, TLS with the environment's certificate."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from src.core.config import ServerSettings, load

PATIENCE = 30


@contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    """Its address while it is served, on a port of its own."""
    settings = load(ServerSettings)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            ssl_certfile=settings.tls_cert_file,
            ssl_keyfile=settings.tls_key_file,
            ws="none",
            log_config=None,
            access_log=False,
            # A test that lets it be slow does not wait for it.
            timeout_graceful_shutdown=1,
        )
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        deadline = time.monotonic() + PATIENCE
        while not server.started and thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert server.started, "it did not start"
        yield f"https://localhost:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
    assert not thread.is_alive(), "it did not stop"
