"""All that a command in a container prints is there, however the engine answers; or it is an error."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import tempfile
import threading
from collections.abc import Iterator

import docker
import pytest
from ansible_collections.dashtam.stack.plugins.module_utils import engine
from docker.errors import APIError

from tests.by_path import load
from tests.guard.scratch import Server

engine_exec = load("plugins/module_utils/engine_exec.py")
images_copy = load("plugins/action/images_copy.py")
ENGINE = "/var/run/docker.sock"


class Relay(socketserver.BaseRequestHandler):
    """Between a client and its engine: what an exec answers arrives as under load, all at once.

    ``cut`` of the server is how many bytes of the output arrive; 0 ends the answer before the command.
    """

    def handle(self) -> None:
        with socket.socket(socket.AF_UNIX) as engine:
            engine.connect(ENGINE)
            started = threading.Event()

            def ask() -> None:
                with contextlib.suppress(OSError):
                    while piece := self.request.recv(65536):
                        if b"/start HTTP" in piece or b"/images/load" in piece:
                            started.set()
                        engine.sendall(piece)

            threading.Thread(target=ask, daemon=True).start()
            while piece := engine.recv(65536):
                if started.is_set():
                    if self.server.cut != 0:  # type: ignore[attr-defined] # the server of this test has it
                        piece += b"".join(iter(lambda: engine.recv(65536), b""))
                    head, blank, output = piece.partition(b"\r\n\r\n")
                    piece = head + blank + output[: self.server.cut]  # type: ignore[attr-defined] # the server of this test has it
                self.request.sendall(piece)
                if started.is_set():
                    return


@contextlib.contextmanager
def relay(cut: int | None = None) -> Iterator[str]:
    """Have the relay; its address, as DOCKER_HOST has it."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/docker.sock"
        with socketserver.ThreadingUnixStreamServer(path, Relay) as server:
            server.daemon_threads = True
            server.cut = cut  # type: ignore[attr-defined] # the server of this test has it
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield f"unix://{path}"
            server.shutdown()


@contextlib.contextmanager
def relayed(cut: int | None = None) -> Iterator[docker.APIClient]:
    """A client of the real engine, with the relay in between."""
    with (
        relay(cut) as address,
        contextlib.closing(docker.APIClient(base_url=address, version="auto")) as api,
    ):
        yield api


def test_what_arrives_with_the_headers_is_not_lost(server: Server) -> None:
    with relayed() as api:
        # So that this shows something: the SDK loses it, and the exit code is 0.
        lost = api.exec_create(server.container.id, ["echo", "hello"])["Id"]
        assert api.exec_start(lost) == b""
        assert api.exec_inspect(lost)["ExitCode"] == 0
        assert engine_exec.execute(api, server.container.id, ["echo", "hello"]) == (0, "hello\n")


# In the middle of the frame's header, and of what it announces.
@pytest.mark.parametrize("cut", [3, 10])
def test_an_output_that_breaks_off_is_an_error(server: Server, cut: int) -> None:
    with relayed(cut) as api, pytest.raises(APIError) as refused:
        engine_exec.execute(api, server.container.id, ["echo", "hello"])
    assert "broke off" in refused.value.explanation


def test_an_output_that_ends_before_its_command_is_an_error(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_exec, "PATIENCE", 0.2)
    with relayed(0) as api, pytest.raises(APIError) as refused:
        engine_exec.execute(api, server.container.id, ["sleep", "2"])
    assert "has no exit code" in refused.value.explanation


def test_an_engine_that_goes_away_while_it_tells_is_said_in_a_line() -> None:
    with (
        relay(0) as address,
        pytest.raises(engine.EngineError, match=r"docker\.sock does not answer"),
        engine.client(host=address) as api,
    ):
        images_copy.load(api, "this engine", iter([b"no archive of images"]))


def test_output_and_errors_of_any_size_and_encoding(server: Server) -> None:
    script = "head -c 3000000 /dev/zero | tr '\\0' x; printf '\\377é\\n' >&2; exit 3"
    code, output = engine_exec.execute(server.container.client.api, server.container.id, ["sh", "-c", script])
    assert (code, output.count("x"), output.strip("x")) == (3, 3_000_000, "\N{REPLACEMENT CHARACTER}é\n")


def test_a_container_that_does_not_run_is_an_error(server: Server) -> None:
    with pytest.raises(APIError):
        engine_exec.execute(server.container.client.api, "nowhere", ["true"])


def test_images_that_an_engine_cannot_load_are_not_said_to_be_there(server: Server) -> None:
    with pytest.raises((images_copy.Problem, APIError)):
        images_copy.load(server.container.client.api, "this engine", iter([b"no archive of images"]))
