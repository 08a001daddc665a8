"""A registry on this machine, and a line to it that breaks."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

CONFIG = """
version: 0.1
storage:
  filesystem:
    rootdirectory: {folder}/data
http:
  addr: 127.0.0.1:{port}
"""


class Cut(threading.Thread):
    """A way to the registry that ends after so many bytes, as a broken line does."""

    def __init__(self, target: int, limit: int) -> None:
        super().__init__(daemon=True)
        self.target = target
        self.left = limit
        self.cut = False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]

    def run(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                if self.cut:
                    near.close()
                    continue
                far = socket.create_connection(("127.0.0.1", self.target))
                threading.Thread(target=self.copy, args=(near, far, False), daemon=True).start()
                threading.Thread(target=self.copy, args=(far, near, True), daemon=True).start()

    def copy(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        with suppress(OSError):
            while not self.cut and (data := source.recv(65536)):
                sink.sendall(data)
                if counted:
                    self.left -= len(data)
                    self.cut = self.cut or self.left <= 0
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def restore(self) -> None:
        """Mend the line."""
        self.left, self.cut = 1 << 60, False


class Registry:
    """Debian's docker-registry with a folder and a port of its own."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.configuration = folder / "config.yml"
        self.configuration.write_text(CONFIG.format(folder=folder, port=self.port))
        self.log = (folder / "registry.log").open("ab")
        program = shutil.which("docker-registry")
        if program is None:
            sys.exit("docker-registry is not installed; type: sudo apt-get install docker-registry")
        self.process = subprocess.Popen(  # noqa: S603 - no word of it comes from outside
            [program, "serve", self.configuration], stdout=self.log, stderr=self.log
        )
        for _ in range(100):
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.1)
        sys.exit(f"docker-registry does not answer; its log is {self.log.name}")

    def requests(self) -> int:
        """How many requests it has answered."""
        return Path(self.log.name).read_bytes().count(b"http.request.method")

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait()
