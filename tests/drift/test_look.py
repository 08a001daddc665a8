"""How containers are and why, on a real engine: status, the wait for them, and the evidence of a failure.

The containers are of an image that is there anyway; they stand for an application whose server failed to
reload, for its database, and for one that ended.
"""

from __future__ import annotations

import json
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from tests import collection
from tests.by_path import ROOT
from tests.provisioning import playbook, test_screen

TOKEN = secrets.token_hex(4)
PASSWORD = f"pw-{secrets.token_hex(8)}"
LABELS = {
    "dashtam.instance": f"look-{TOKEN}",
    "dashtam.environment": "dev",
    "dashtam.checkout": str(ROOT),
}
APP, DATABASE, ENDED = (f"look-{TOKEN}-{name}" for name in ("app", "db", "ended"))
ERROR = "SyntaxError: '(' was never closed"
TRACEBACK = f"""\
INFO:     Will watch for changes
password {PASSWORD}
Traceback (most recent call last):
  File "/app/src/main.py", line 83
    def broken(
              ^
{ERROR}"""
HOUR = 3600 * 10**9


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


APP_PORT = free_port()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Start the containers; return the database's port on this machine."""
    client, number = docker.APIClient(), free_port()
    tags = [tag for image in client.images() for tag in image["RepoTags"] or []]
    image = next(tag for tag in sorted(tags) if tag.startswith(("dashtam/postgres", "postgres:")))
    network = f"look-{TOKEN}"
    client.create_network(network, labels=LABELS)

    def run(name: str, script: str, health: str, **options: Any) -> None:
        # The engine itself asks once an hour, so that it cannot know.
        check = {"test": ["CMD-SHELL", health], "interval": HOUR, "timeout": 2 * 10**9}
        alias = name.rpartition("-")[2]
        endpoints = client.create_networking_config({network: client.create_endpoint_config(aliases=[alias])})
        client.create_container(
            image,
            ["-c", script],
            entrypoint="sh",
            name=name,
            stop_signal="KILL",
            labels=LABELS | {"dashtam.service": alias},
            healthcheck=check,
            networking_config=endpoints,
            **options,
        )
        client.start(name)

    try:
        run(
            APP,
            f"cat >&2 <<'END'\n{TRACEBACK}\nEND\nexec sleep 600",
            "echo http >/dev/null; exit 1",
            environment={"DATABASE_URL": f"postgresql+asyncpg://ann:{PASSWORD}@db:5432/shop"},
            ports=[8000],
            host_config=client.create_host_config(
                network_mode=network, port_bindings={8000: ("127.0.0.1", APP_PORT)}
            ),
        )
        bound = client.create_host_config(network_mode=network, port_bindings={5432: ("127.0.0.1", number)})
        run(DATABASE, "exec sleep 600", "sleep 1; true", ports=[5432], host_config=bound)
        run(
            ENDED,
            "echo the disk is full; exit 7",
            "true",
            host_config=client.create_host_config(network_mode=network),
        )
        yield number
    finally:
        for name in (APP, DATABASE, ENDED):
            client.remove_container(name, force=True, v=True)
        client.remove_network(network)
        client.close()


def make(verb: str, *arguments: str) -> str:
    """Return the standard output of a target for the containers' instance; what it needs once is there."""
    command = ["make", "--old-file=venv", "--old-file=engine", verb, f"INSTANCE=look-{TOKEN}", *arguments]
    run = subprocess.run(
        command, cwd=ROOT, env=collection.outside(), capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_open_tells_the_address_where_there_is_no_desktop(port: int) -> None:
    url = f"https://localhost:{APP_PORT}/docs"
    assert make("open", "DISPLAY=", "WAYLAND_DISPLAY=") == f"{url}\n"
    assert json.loads(make("open", "FORMAT=json")) == {"url": url}


def test_the_log_of_one_service_can_be_searched(port: int) -> None:
    # Most programs log to standard error, which a pipe would not have.
    assert ERROR in make("dev-logs-app").splitlines()


def test_status_asks_at_this_moment_and_says_why(port: int) -> None:
    (instance,) = json.loads(make("status", "FORMAT=json"))
    objects = {each["name"]: each for each in instance["objects"]}
    app, database, ended = objects[APP], objects[DATABASE], objects[ENDED]
    assert (app["state"], app["health"]) == ("running", "starting")
    assert app["reason"] == f"{ERROR} (/app/src/main.py, line 83)"
    assert (database["health"], database["reason"]) == ("healthy", None)
    assert database["tool_url"] == f"postgresql://ann@localhost:{port}/shop"
    assert (ended["state"], ended["health"], ended["exit_code"]) == ("exited", None, 7)
    assert ended["reason"] == "the disk is full"
    assert app["browser_url"] == f"http://localhost:{APP_PORT}"
    assert 0 <= app["age_seconds"] < 600
    assert [each["service"] for each in (app, database, ended)] == ["app", "db", "ended"]
    shown = json.loads(make("status", "FORMAT=json", "SHOW=1"))
    urls = [each.get("tool_url") for each in shown[0]["objects"]]
    assert f"postgresql://ann:{PASSWORD}@localhost:{port}/shop" in urls


def test_the_table_has_the_reason_and_no_password(port: int) -> None:
    text = make("status")
    assert PASSWORD not in text
    lines = [" ".join(line.split()) for line in text.splitlines()]
    app = next(number for number, line in enumerate(lines) if line.startswith(APP))
    assert lines[app].startswith(f"{APP} running starting ")
    assert lines[app + 1] == f"{ERROR} (/app/src/main.py, line 83)"
    assert f" postgresql://ann@localhost:{port}/shop " in text


def test_what_a_run_has_called_ready_is_not_starting_for_whoever_looks_next(
    port: int, tmp_path: Path
) -> None:
    def healths() -> dict[str, str]:
        (instance,) = [
            each for each in json.loads(make("ls", "FORMAT=json")) if each["instance"] == f"look-{TOKEN}"
        ]
        return {each["name"]: each["health"] for each in instance["objects"] if each["kind"] == "container"}

    assert (healths()[APP], healths()[DATABASE]) == ("starting", "starting")
    # As a run has it that has started it: an older one may have been ready long ago.
    subprocess.run(["docker", "restart", "--time", "0", DATABASE], check=True, capture_output=True)
    wait = {"containers": [{"name": DATABASE, "ready": ["true"]}], "timeout": 100}
    path = test_screen.start(tmp_path, [{"name": "Wait", "dashtam.stack.container_wait": wait}])
    playbook.finish(playbook.start(*playbook.HERE, path))
    assert (healths()[APP], healths()[DATABASE]) == ("starting", "healthy")


def test_a_wait_ends_at_once_with_the_error_that_ends_the_log(port: int, tmp_path: Path) -> None:
    wait = {"containers": [{"name": APP, "ready": ["sleep", "60"]}], "timeout": 100}
    path = test_screen.start(tmp_path, [{"name": "Wait", "dashtam.stack.container_wait": wait}])
    begun = time.monotonic()
    output = playbook.finish(playbook.start(*playbook.HERE, path), 2)
    assert time.monotonic() - begun < 30
    assert f"{APP} does not answer: {ERROR} (/app/src/main.py, line 83)\n" in output
    assert output.count(f"Next: docker logs {APP}") == 1


@pytest.mark.parametrize(("variable", "kept"), [("BUNDLE", True), ("CI", True), ("NOTHING", False)])
def test_a_failure_leaves_evidence_without_secrets(
    port: int, tmp_path: Path, variable: str, kept: bool
) -> None:
    plays = tmp_path / "playbooks"
    plays.mkdir()
    fail = {"name": "Fail", "ansible.builtin.fail": {"msg": "It is wrong."}}
    path = test_screen.start(plays, [fail], container_labels=LABELS)
    process = playbook.start(*playbook.HERE, path, stderr=subprocess.PIPE, **{variable: "true"})
    _, errors = process.communicate()
    assert process.returncode == 2
    folders = list(tmp_path.glob("reports/evidence/*"))
    assert len(folders) == kept
    if not kept:
        assert errors == ""
        return
    assert f"Evidence: {folders[0].relative_to(tmp_path)}/\n" in errors
    files = {file.name: file.read_text() for file in folders[0].iterdir()}
    assert PASSWORD not in "".join(files.values())
    assert files["failure.txt"] == "localhost: Fail: It is wrong.\n"
    assert f"{ENDED}: exited" in files["containers.txt"]
    assert ERROR in files[f"{APP}.log"]
    assert "password ***" in files[f"{APP}.log"]
    assert files[f"{APP}.health.txt"].startswith("starting")
    (address,) = [
        each for each in json.loads(files[f"{APP}.inspect.json"])["Config"]["Env"] if "DATABASE" in each
    ]
    assert address == "DATABASE_URL=postgresql+asyncpg://ann:***@db:5432/shop"
    assert json.loads(files["versions.json"])["engine"]


def test_a_build_is_followed_line_by_line(tmp_path: Path) -> None:
    client = docker.APIClient()
    tags = [tag for image in client.images() for tag in image["RepoTags"] or []]
    base = next(tag for tag in sorted(tags) if tag.startswith(("dashtam/postgres", "postgres:")))
    (tmp_path / "context").mkdir()
    script = "for n in 1 2 3; do echo Unpacking part $n; sleep 1.5; done"
    (tmp_path / "context/Dockerfile").write_text(f"FROM {base}\nRUN {script}\n")
    name = f"look-{TOKEN}:latest"
    build = {"name": name, "folder": str(tmp_path / "context"), "scratch": str(tmp_path), "cache": False}
    path = test_screen.start(tmp_path, [{"name": "Build", "dashtam.stack.images_build": build}])
    try:
        sent = test_screen.terminal(path)
    finally:
        client.remove_image(name)
        client.close()
    for part in (1, 2, 3):
        assert f"Unpacking part {part}\r\n" in sent, sent
    assert f"  image {name}: built (" in test_screen.left(sent)[0]
