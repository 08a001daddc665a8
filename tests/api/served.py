"""An app of ours, served for real: a thread of this worker, TLS with the environment's certificate."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from src.core.config import ServerSettings, load
from src.core.web.server import uvicorn_options

PATIENCE = 30


@contextmanager
def served(app: ASGIApp, **changes: Any) -> Iterator[str]:
    """Its address while it is served as our servers are, on a port of its own; ``changes`` are settings."""
    settings = load(ServerSettings)
    listener = socket.create_server(("127.0.0.1", 0))
    options = uvicorn_options(settings.model_copy(update=changes), listener.getsockname()[1], reload=False)
    # A test that lets it be slow does not wait for it.
    own = {"factory": False, "lifespan": "auto", "log_config": None, "timeout_graceful_shutdown": 1}
    server = uvicorn.Server(uvicorn.Config(app, **options | own))
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
