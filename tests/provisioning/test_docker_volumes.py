"""A question to people lists volumes; the engine that answers here is a process of the test's own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer

import docker
import pytest
from docker.errors import APIError

from tests.by_path import load

docker_volumes = load("plugins/lookup/docker_volumes.py")
BUSY = b'{"message": "a disk usage operation is already running"}'


class Engine(HTTPServer):
    """Answers /system/df with what it was given, the last again and again."""

    answers: list[tuple[int, bytes]]
    asked = 0


class Answer(BaseHTTPRequestHandler):
    server: Engine

    def do_GET(self) -> None:
        status, body = self.server.answers[min(self.server.asked, len(self.server.answers) - 1)]
        self.server.asked += 1
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def disk_usage(engine: Engine, patience: float) -> object:
    url = f"tcp://127.0.0.1:{engine.server_port}"
    with closing(docker.DockerClient(base_url=url, version="1.41")) as client:
        return docker_volumes.disk_usage(client, patience)


def test_an_engine_that_answers_one_at_a_time_is_asked_again(engine: Engine) -> None:
    engine.answers = [(500, BUSY), (500, BUSY), (200, b'{"Volumes": null}')]
    assert disk_usage(engine, 60) == {"Volumes": None}
    assert engine.asked == 3


def test_patience_has_an_end(engine: Engine) -> None:
    engine.answers = [(500, BUSY)]
    with pytest.raises(APIError, match="already running"):
        disk_usage(engine, 0)
    assert engine.asked == 1


def test_another_error_is_not_waited_out(engine: Engine) -> None:
    engine.answers = [(500, b'{"message": "no space left on device"}'), (200, b"{}")]
    with pytest.raises(APIError, match="no space left"):
        disk_usage(engine, 60)
    assert engine.asked == 1
