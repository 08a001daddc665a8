"""The engine role's lookups: real sockets, real processes, and an engine's answers over HTTP."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.by_path import load

engine_status = load("plugins/lookup/engine_status.py")
engine_host = load("plugins/lookup/engine_host.py")


@contextmanager
def nobody() -> Iterator[None]:
    """As an ordinary user, as root may use every socket."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def engine(api: str, mount: tuple[int, str] = (201, '{"Id": "c", "Warnings": []}')) -> Iterator[list[str]]:
    """Answer as an engine of an API version does; `mount` is the answer to a container that mounts."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            path = self.path.partition("?")[0]
            asked.append(f"{self.command} {path}")
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            code, body = 200, json.dumps({"Version": "x", "ApiVersion": api})
            if path.endswith("/containers/create"):
                code, body = mount
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        do_GET = do_POST = do_DELETE = answer

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        os.environ["DOCKER_HOST"] = f"tcp://127.0.0.1:{server.server_port}"
        try:
            yield asked
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def no_docker_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.setenv(name, "")  # so that what a test sets is undone
        monkeypatch.delenv(name)


def test_no_socket_is_none(tmp_path: Path) -> None:
    assert engine_status.knock(str(tmp_path / "docker.sock")) == ("none", "No such file or directory")


def test_a_socket_that_nobody_listens_on_is_none(tmp_path: Path) -> None:
    path = str(tmp_path / "docker.sock")
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(path)
    assert engine_status.knock(path) == ("none", "Connection refused")


def test_a_socket_of_others_is_denied_and_not_none(tmp_path: Path) -> None:
    path = str(tmp_path / "docker.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        assert engine_status.knock(path) == ("ok", "")
        Path(path).chmod(0)
        with nobody():
            assert engine_status.knock(path) == ("denied", "Permission denied")


@pytest.mark.parametrize(
    ("version", "expected"),
    [("1.40", True), ("1.41", False), ("1.9", True), ("1.100", False), ("2.0", False)],
)
def test_versions_are_numbers(version: str, expected: bool) -> None:
    assert engine_status.older(version, "1.41") is expected


def test_an_old_engine_is_named() -> None:
    with engine("1.40"):
        found = engine_status.status("1.41")
    assert (found["state"], found["given"]) == ("old", True)
    assert found["reason"] == "its API is 1.40, 1.41 is needed"


def test_an_engine_that_sees_the_folder_will_do(tmp_path: Path) -> None:
    with engine("1.41") as asked:
        found = engine_status.status("1.41", str(tmp_path))
    assert (found["state"], found["untried"]) == ("ok", "")
    assert list(tmp_path.iterdir()) == []
    assert any(line.startswith("DELETE") and "/containers/" in line for line in asked)
    assert any(line.startswith("DELETE") and "/images/" in line for line in asked)
    assert not any(line.endswith("/start") for line in asked)


def test_an_engine_elsewhere_is_blind(tmp_path: Path) -> None:
    refusal = json.dumps({"message": "invalid mount config: bind source path does not exist: /x"})
    with engine("1.41", (400, refusal)) as asked:
        found = engine_status.status("1.41", str(tmp_path))
    assert (found["state"], found["reason"]) == ("blind", f"it does not see {tmp_path}")
    assert list(tmp_path.iterdir()) == []
    assert any(line.startswith("DELETE") and "/images/" in line for line in asked)


def test_an_engine_that_may_not_be_asked_so_is_only_read_from(tmp_path: Path) -> None:
    with engine("1.41") as asked:
        found = engine_status.status("1.41", str(tmp_path), probe=False)
    assert (found["state"], found["untried"]) == ("ok", f"whether it sees {tmp_path}")
    assert {line.split()[0] for line in asked} == {"GET"}


def test_nothing_behind_an_address_is_said_shortly(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{port}")
    found = engine_status.status("1.41")
    assert (found["state"], found["reason"]) == ("none", "Connection refused")


def test_ssh_leads_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "ssh://me@elsewhere.invalid")
    assert engine_status.status("1.41", "/")["state"] == "blind"


def test_who_is_no_member() -> None:
    assert engine_host.member("root", "no-such-group") is False
    assert engine_host.member("root", "root") is True


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        ({"ID": "debian"}, "debian"),
        ({"ID": "ubuntu", "ID_LIKE": "debian"}, "debian"),
        ({"ID": "linuxmint", "ID_LIKE": "ubuntu debian"}, "debian"),
        ({"ID": "fedora"}, "fedora"),
        ({"ID": "rocky", "ID_LIKE": "rhel centos fedora"}, "fedora"),
        ({"ID": "arch"}, "linux"),
    ],
)
def test_families(monkeypatch: pytest.MonkeyPatch, release: dict[str, str], expected: str) -> None:
    monkeypatch.setattr(engine_host.platform, "freedesktop_os_release", lambda: release)
    monkeypatch.setattr(engine_host.platform, "system", lambda: "Linux")
    assert engine_host.system() == expected
