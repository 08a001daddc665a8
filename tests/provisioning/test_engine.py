"""The engine role's lookups: real sockets, real processes, and an engine's answers over HTTP."""

from __future__ import annotations

import grp
import hashlib
import json
import os
import platform
import pwd
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible import constants
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from tests.by_path import ROOT, load
from tests.provisioning import playbook

engine_status = load("plugins/lookup/engine_status.py")
engine_module = engine_status.engine
VARS = ROOT / "roles/engine/vars/main.yml"


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
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", "/nowhere")  # a run keeps its first answer
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.setenv(name, "")  # so that what a test sets is undone
        monkeypatch.delenv(name)


def context(folder: Path, name: str, host: str, **endpoint: bool) -> None:
    """Write a context as the docker client does; see docs.docker.com/engine/manage-resources/contexts."""
    meta = folder / "contexts/meta" / hashlib.sha256(name.encode()).hexdigest() / "meta.json"
    meta.parent.mkdir(parents=True)
    docker = {"Host": host, "SkipTLSVerify": False, **endpoint}
    meta.write_text(json.dumps({"Name": name, "Metadata": {}, "Endpoints": {"docker": docker}}))


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """The docker client's settings with two contexts; the first of them is the current one."""
    folder = tmp_path / "docker"
    context(folder, "first", "tcp://first.invalid:2375")
    context(folder, "second", "tcp://second.invalid:2376", SkipTLSVerify=True)
    tls = folder / "contexts/tls" / hashlib.sha256(b"second").hexdigest() / "docker"
    tls.mkdir(parents=True)
    (folder / "config.json").write_text('{"currentContext": "first"}')
    return folder


@pytest.mark.parametrize(
    ("variables", "host"),
    [
        ({}, "unix:///var/run/docker.sock"),
        ({"DOCKER_CONFIG": "SETTINGS"}, "tcp://first.invalid:2375"),
        ({"HOME": "HOME"}, "tcp://first.invalid:2375"),
        ({"DOCKER_CONFIG": "SETTINGS", "DOCKER_CONTEXT": "second"}, "tcp://second.invalid:2376"),
        ({"DOCKER_CONFIG": "SETTINGS", "DOCKER_CONTEXT": "default"}, "unix:///var/run/docker.sock"),
        ({"DOCKER_CONFIG": "SETTINGS", "DOCKER_HOST": "tcp://host.invalid:1"}, "tcp://host.invalid:1"),
        (
            {"DOCKER_CONFIG": "SETTINGS", "DOCKER_CONTEXT": "second", "DOCKER_HOST": "tcp://h.invalid:1"},
            "tcp://h.invalid:1",
        ),
        ({"DOCKER_CONFIG": "/nowhere"}, "unix:///var/run/docker.sock"),
    ],
)
def test_the_engine_is_the_docker_clients(
    settings: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], host: str
) -> None:
    (settings.parent / ".docker").symlink_to(settings)
    monkeypatch.setenv("HOME", "/nowhere")
    for name, value in variables.items():
        monkeypatch.setenv(name, {"SETTINGS": str(settings), "HOME": str(settings.parent)}.get(value, value))
    assert engine_module.address().host == host
    if client := shutil.which("docker"):
        inspect = [client, "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]
        run = subprocess.run(inspect, capture_output=True, text=True, check=True)
        assert run.stdout.strip() == host


def test_a_contexts_certificates_go_along(settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(settings))
    assert engine_module.address().environment == {"DOCKER_HOST": "tcp://first.invalid:2375"}
    monkeypatch.setenv("DOCKER_CONTEXT", "second")
    found = engine_module.address().environment
    assert Path(found.pop("DOCKER_CERT_PATH")).is_dir()
    assert found == {"DOCKER_HOST": "tcp://second.invalid:2376", "DOCKER_TLS": "1", "DOCKER_TLS_VERIFY": ""}


def test_damaged_settings_of_the_docker_client_count_as_none(
    settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (settings / "config.json").write_text("{")
    monkeypatch.setenv("DOCKER_CONFIG", str(settings))
    assert engine_module.address() == engine_module.Address()


def test_a_context_that_is_gone_is_named(settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(settings))
    monkeypatch.setenv("DOCKER_CONTEXT", "third")
    found = engine_status.status("1.41")
    assert (found["state"], found["given_by"]) == ("none", "a context")
    assert found["reason"].startswith("there is no usable context third, which DOCKER_CONTEXT names")


ASK_ALL = """
- name: Ask the engine in every way
  hosts: localhost
  gather_facts: false
  vars: {ansible_python_interpreter: "{{ ansible_playbook_python }}"}
  tasks:
    - name: Ask by the SDK
      ansible.builtin.debug:
        msg: "{{ lookup('dashtam.stack.engine_status') }}"
    - name: Ask by a module
      community.docker.docker_host_info:
      environment: "{{ lookup('dashtam.stack.engine_environment') }}"
"""


def test_plugins_and_modules_ask_the_engine_of_the_context(
    settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine("1.41") as asked:
        context(settings, "third", os.environ["DOCKER_HOST"])
        monkeypatch.delenv("DOCKER_HOST")
        playbook.finish(
            playbook.start_alone(tmp_path, ASK_ALL, DOCKER_CONFIG=str(settings), DOCKER_CONTEXT="third")
        )
    assert "GET /version" in asked
    assert any(line.endswith("/info") for line in asked)


SWITCH = """
- name: Use another context half-way
  hosts: localhost
  gather_facts: false
  vars: {ansible_python_interpreter: "{{ ansible_playbook_python }}"}
  tasks:
    - name: Look
      ansible.builtin.debug:
        msg: "first {{ lookup('dashtam.stack.engine_environment').DOCKER_HOST }}"
    - name: Switch, as `docker context use` does
      ansible.builtin.copy:
        dest: "{{ lookup('env', 'DOCKER_CONFIG') }}/config.json"
        content: '{"currentContext": "second"}'
        mode: "0600"
    - name: Look again
      ansible.builtin.debug:
        msg: "then {{ lookup('dashtam.stack.engine_environment').DOCKER_HOST }}"
"""


def test_a_run_stays_with_its_first_engine(settings: Path, tmp_path: Path) -> None:
    printed = playbook.finish(playbook.start_alone(tmp_path, SWITCH, DOCKER_CONFIG=str(settings)))
    assert "first tcp://first.invalid:2375" in printed
    assert "then tcp://first.invalid:2375" in printed
    assert "second" in (settings / "config.json").read_text()


APPLY = """
- name: Change what was inspected on another engine
  hosts: localhost
  gather_facts: false
  tasks:
    - name: {0}
      dashtam.stack.{0}: {1}
"""
LOG = {"driver": "json-file", "options": {}}
NETWORK = {"name": "shop", "internal": False, "labels": {}}


@pytest.mark.parametrize(
    ("action", "options"),
    [
        (
            "container_apply",
            {
                "specs": [{"name": "shop", "labels": {}}],
                "states": [{"name": "shop", "state": "missing"}],
                "labels": {"site": "shop"},
                "turn": 0,
                "hash_label": "site.spec",
                "project": {},
                "log": LOG,
            },
        ),
        ("networks", {"networks": [NETWORK], "lock": {"site": "shop"}}),
    ],
)
def test_another_engine_than_the_one_inspected_is_left_alone(
    tmp_path: Path, action: str, options: dict[str, Any]
) -> None:
    play = APPLY.format(action, json.dumps(options | {"engine": "the first one's ID"}))
    with engine("1.41") as asked:
        run = playbook.start_alone(tmp_path, play, ANSIBLE_LOCAL_TEMP=str(tmp_path / "local"))
        printed = playbook.finish(run, 2)
    said = (
        "is another Docker engine now than the one that was inspected. Nothing was touched. Run this again."
    )
    assert said in " ".join(printed.split())
    assert any(line.endswith("/info") for line in asked)
    assert {line.split()[0] for line in asked} == {"GET"}


def tasks(node: Any) -> Iterator[dict[str, Any]]:
    """Yield all mappings of a YAML file that may be tasks."""
    for each in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from tasks(each)
    if isinstance(node, dict):
        yield node


def test_every_module_that_asks_an_engine_is_told_which() -> None:
    files = [*ROOT.glob("roles/*/tasks/*.yml"), *ROOT.glob("playbooks/**/*.yml")]
    found = [
        (path.name, task.get("environment"))
        for path in files
        for task in tasks(yaml.safe_load(path.read_text(encoding="utf-8")))
        if any(str(key).startswith("community.docker.docker_") for key in task)
    ]
    assert found
    # A node of a Swarm has an engine of its own.
    which = ("", ", swarm_engine", ", swarm_manager_engine")
    known = {f"{{{{ lookup('dashtam.stack.engine_environment'{one}) }}}}" for one in which}
    assert {told for _, told in found} <= known, found


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
    assert engine_status.version_lt(version, "1.41") is expected


def test_an_old_engine_is_named() -> None:
    with engine("1.40"):
        found = engine_status.status("1.41")
    assert (found["state"], found["given_by"]) == ("old", "DOCKER_HOST")
    assert found["reason"] == "its API is 1.40, 1.41 is needed"


def test_an_engine_that_sees_the_folder_will_do(tmp_path: Path) -> None:
    with engine("1.41") as asked:
        found = engine_status.status("1.41", str(tmp_path))
    assert (found["state"], found["untried"]) == ("ok", "")
    assert list(tmp_path.iterdir()) == []
    assert any(line.startswith("DELETE") and "/containers/" in line for line in asked)
    assert any(line.startswith("DELETE") and "/images/" in line for line in asked)
    assert not any(line.endswith("/start") for line in asked)


def test_an_engine_without_the_checkout_is_remote(tmp_path: Path) -> None:
    refusal = json.dumps({"message": "invalid mount config: bind source path does not exist: /x"})
    with engine("1.41", (400, refusal)) as asked:
        found = engine_status.status("1.41", str(tmp_path))
    assert (found["state"], found["reason"]) == ("remote", f"it does not see {tmp_path}")
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
    assert engine_status.status("1.41", "/")["state"] == "remote"


def test_an_engine_over_ssh_is_refused_with_what_to_do_instead() -> None:
    with (
        pytest.raises(engine_module.EngineError) as refused,
        engine_module.client(host="ssh://me@elsewhere:2222"),
    ):
        pass
    assert str(refused.value).count("\n") == 0
    assert " -p 2222 -L $HOME/engine.sock:/var/run/docker.sock me@elsewhere" in str(refused.value)


ASK = """
- name: Ask this machine what the role asks it
  hosts: localhost
  gather_facts: false
  vars_files: [VARS]
  vars: {engine_group: root, engine_found: {password: false}}
  tasks:
    - name: Compare
      ansible.builtin.assert:
        that:
          - __engine_user == expected.user
          - __engine_become == expected.become
          - __engine_client == expected.client
          - __engine_system[0] == expected.system
          - __engine_member == expected.member
    - name: Ask of a member of no group
      ansible.builtin.assert: {that: not __engine_member}
      vars: {engine_group: no-such-group}
    - name: Ask of somebody who cannot become root
      ansible.builtin.assert: {that: not __engine_privileged}
      vars: {__engine_become: true, __engine_sudo: false}
    - name: Ask of somebody who gave a password
      ansible.builtin.assert: {that: __engine_privileged}
      vars: {__engine_become: true, __engine_sudo: true, engine_found: {password: true}}
"""


def test_what_this_machine_is(tmp_path: Path) -> None:
    user = pwd.getpwuid(os.geteuid())
    expected = {
        "user": user.pw_name,
        "become": user.pw_uid != 0,
        "client": shutil.which("docker") is not None,
        "system": platform.system(),
        "member": "root" in [grp.getgrgid(gid).gr_name for gid in os.getgrouplist(user.pw_name, user.pw_gid)],
    }
    play = ASK.replace("VARS", str(VARS))
    playbook.finish(playbook.start_alone(tmp_path, play, "-e", json.dumps({"expected": expected})))


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        ("Linux debian", "debian"),
        ("Linux ubuntu debian", "debian"),
        ("Linux linuxmint ubuntu debian", "debian"),
        ("Linux fedora", "fedora"),
        ("Linux rocky rhel centos fedora", "fedora"),
        ("Linux arch", "linux"),
        ("Linux", "linux"),
        ("Darwin", "darwin"),
    ],
)
def test_families(system: str, expected: str) -> None:
    loader = DataLoader()
    template = loader.load_from_file(str(VARS), trusted_as_template=True)["__engine_family"]
    variables = {"__engine_system": system.split()}
    assert Templar(loader=loader, variables=variables).template(template) == expected
