"""The container of a Python service, made from its settings."""

import shutil
import socket
import subprocess
import threading
import time
from typing import Any

import pytest

from tests.by_path import ROOT, load

plugin = load("plugins/filter/python_service.py")
faults_of = load("plugins/filter/python_service_faults.py").python_service_faults

SETTINGS: dict[str, Any] = {
    "name": "shop-app",
    "image": "shop:1",
    "requirements": "",
    "command": ["uvicorn", "shop:app"],
    "reload": False,
    "reload_argument": "--reload",
    "working_dir": "/app",
    "user": "1000:1000",
    "env": {"A": "b"},
    "labels": {"shop.service": "app"},
    "network": "shop-network",
    "aliases": ["app"],
    "port": 8000,
    "host_port": None,
    "bind_address": "127.0.0.1",
    "source": {},
    "source_read_only": False,
    "files": {},
    "restart_policy": "always",
    "health": ["true"],
    "health_interval": "10s",
    "ready": ["true"],
    "ready_timeout": 30,
    "memory": "1G",
    "cpus": 1.5,
    "pids_limit": 100,
    "nofile": 1024,
}
DATA = {"data": {"uploads": "/srv/uploads"}, "data_prefix": "shop-", "data_labels": {"shop.service": "app"}}
RELOADED = {"reload": True}
SCRIPTS = (["migrate && exec server"], ["exec server", "sh"])
IN_A_SCRIPT = (
    "web_reload=true has no effect: web_command ends in a shell's script, which does not see --reload behind "
    "it. Write --reload into the script and leave web_reload off."
)


def container(**settings: Any) -> dict[str, Any]:
    made: dict[str, Any] = plugin.python_service(SETTINGS | settings, {"app": "made:1"})
    return made


DEBUGGED = {
    "command": ["python", "-m", "shop"],
    "reload": True,
    "host_port": 8000,
    "bind_address": "192.0.2.1",
    "debug_program": "uvicorn",
}


def test_a_debugger_attaches_from_this_machine_alone() -> None:
    made, plain = container(debug_port=5679, **DEBUGGED), container(debug_port=None, **DEBUGGED)
    assert made["command"] == [
        "env",
        f"PYTHONPATH={plugin.DEBUG_FOLDER}",
        "DEBUG_PROGRAM=uvicorn",
        f"DEBUG_PORT={plugin.DEBUG_PORT}",
        *plain["command"],
    ]
    assert made["published_ports"] == ["192.0.2.1:8000:8000", f"127.0.0.1:5679:{plugin.DEBUG_PORT}"]
    mount = {
        "type": "bind",
        "source": str(ROOT / "roles/app/files/debug"),
        "target": plugin.DEBUG_FOLDER,
        "read_only": True,
    }
    assert made["mounts"] == [*plain["mounts"], mount]
    # `docker exec` gets the same environment with and without it.
    assert made["env"] == plain["env"]
    env = container(debug_port=5679, **DEBUGGED | {"env": {"PYTHONPATH": "/more"}})["command"][1]
    assert env == f"PYTHONPATH={plugin.DEBUG_FOLDER}:/more"


def test_confined_and_unpublished_unless_told_otherwise() -> None:
    made = container()
    assert (made["read_only"], made["cap_drop"]) == (True, ["ALL"])
    assert made["security_opts"] == ["no-new-privileges:true"]
    assert made["published_ports"] == []
    assert [mount["type"] for mount in made["mounts"]] == ["tmpfs"]
    assert made["init"] is True


def test_limits_from_the_command_line_are_texts() -> None:
    limits = {"memory": "1G", "cpus": "1.5", "pids_limit": "100", "nofile": "1024"}
    assert container(**limits) == container()
    assert {name: container()[name] for name in limits} == {
        "memory": "1G",
        "cpus": 1.5,
        "pids_limit": 100,
        "nofile": 1024,
    }


@pytest.mark.parametrize(("memory", "size"), [("1G", "256M"), ("256M", "64M"), ("0", "512M")])
def test_what_is_in_tmp_counts_as_memory(memory: str, size: str) -> None:
    assert container(memory=memory)["mounts"][0]["tmpfs_size"] == size


def test_the_size_of_tmp_and_of_shared_memory_can_be_given() -> None:
    assert container(tmp_size="3G")["mounts"][0]["tmpfs_size"] == "3G"
    assert (container()["shm_size"], container(shm_size="1G")["shm_size"]) == ("64M", "1G")


def test_its_data_are_volumes_that_its_user_owns() -> None:
    assert container(**DATA)["mounts"][1:] == [
        {
            "type": "volume",
            "source": "shop-uploads",
            "target": "/srv/uploads",
            "read_only": False,
            "labels": {"shop.service": "app"},
            "owner": "1000:1000",
        }
    ]


def test_a_hang_is_seen_within_30_s() -> None:
    health = container()["healthcheck"]
    seconds = {name: int(health[name].removesuffix("s")) for name in ("interval", "timeout")}
    assert health["retries"] * sum(seconds.values()) <= 30


@pytest.mark.parametrize(
    ("answer", "healthy"), [(b"HTTP/1.0 404 Not Found", True), (b"", True), (None, False)]
)
@pytest.mark.skipif(not shutil.which("bash"), reason="the images have bash")
def test_health_is_any_answer_unless_told_otherwise(answer: bytes | None, healthy: bool) -> None:
    """None is a server that hangs: the kernel takes the connection, and nobody answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = container(port=listener.getsockname()[1], health=[], ready=[])

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(100)
                connection.sendall(answer or b"")

        if answer is not None:
            threading.Thread(target=serve).start()
        command = made["healthcheck"]["test"][1:]
        assert made["ready"] == command
        started = time.monotonic()
        assert (subprocess.run(command, check=False).returncode == 0) is healthy
    assert time.monotonic() - started < 10
    assert subprocess.run(command, check=False, capture_output=True).returncode != 0


def test_a_port_is_published_on_its_address() -> None:
    assert container(host_port=8001)["published_ports"] == ["127.0.0.1:8001:8000"]
    more = {9100: 9101, "53/udp": 5353}
    assert container(host_port=8001, more_ports=more)["published_ports"] == [
        "127.0.0.1:8001:8000",
        "127.0.0.1:9101:9100",
        "127.0.0.1:5353:53/udp",
    ]


@pytest.mark.parametrize("value", [True, "true", "yes"])
def test_a_switch_from_the_command_line_is_text(value: Any) -> None:
    made = container(reload=value, source={"/b": "1", "/a": "2"}, source_read_only=value, files={"/c": "3"})
    assert made["command"] == ["uvicorn", "shop:app", "--reload"]
    assert [(mount["target"], mount["read_only"]) for mount in made["mounts"][1:]] == [
        ("/a", True),
        ("/b", True),
        ("/c", True),
    ]


def test_off_is_off() -> None:
    made = container(reload="false", source={"/a": "1"}, source_read_only="no", files={"/c": "3"})
    assert made["command"] == ["uvicorn", "shop:app"]
    assert [mount["read_only"] for mount in made["mounts"][1:]] == [False, True]


def test_a_service_may_have_no_reload_at_all() -> None:
    without = {name: value for name, value in SETTINGS.items() if not name.startswith("reload")}
    assert plugin.python_service(without)["command"] == ["uvicorn", "shop:app"]


def test_the_image_is_the_given_one_or_the_one_that_was_made() -> None:
    assert container()["image"] == "shop:1"
    assert container(image="")["image"] == "made:1"
    assert plugin.python_service(SETTINGS | {"image": ""})["image"] == ""


@pytest.mark.parametrize(
    ("settings", "faults"),
    [
        ({}, []),
        ({"image": "", "requirements": "requirements.txt"}, []),
        (
            {"image": ""},
            [
                "There is no image to run shop-app. Set web_image to one that is present, "
                "or web_requirements to a file of Python requirements to make one with."
            ],
        ),
        (
            {"command": "uvicorn", "ready": "true"},
            [
                "web_command is text. Make it a list, such as [uvicorn, 'shop:app'].",
                "web_ready is text. Make it a list, such as [uvicorn, 'shop:app'].",
            ],
        ),
        ({"user": "0:0"}, ["web_user=0:0 is root. Use another uid, such as 10001:10001."]),
        ({"memory": "1M"}, ["web_memory is 1M. It must be at least 6M, or 0 for no limit."]),
        ({"user": 0}, ["web_user=0 is root. Use another uid, such as 10001:10001."]),
        ({"user": "root"}, ["web_user=root is root. Use another uid, such as 10001:10001."]),
        ({"tmp_size": "64M"}, []),
        (
            {"tmp_size": "2G"},
            [
                "web_memory is less than web_tmp_size=2G, whose content counts as memory. "
                "Raise one or lower the other."
            ],
        ),
        (
            {"port": 0, "health": []},
            [
                "web_port is 0, so nothing tells whether shop-app works. Set web_health to a command that "
                "succeeds while it does."
            ],
        ),
        ({"port": 0}, []),
        (
            {"port": 0, "host_port": 80},
            ["web_host_port is set and web_port is 0: there is nothing to publish. Set both or none."],
        ),
        ({"more_ports": {9100: 9101, "53/udp": "5353"}}, []),
        *(
            (
                {"more_ports": {inside: host}},
                [
                    f"web_more_ports has {inside}: {host}. Write the port inside and the port on the host, "
                    "such as {9100: 9100} or {'5353/udp': 5353}."
                ],
            )
            for inside, host in ((0, 1), (1, 65536), ("http", 80), ("80/sctp", 80), (80, None))
        ),
        (DATA, []),
        *(
            (
                DATA | {"data": {name: path}},
                [
                    f"web_data has {name}: {path}. Write a name and a path inside, "
                    "such as {uploads: /srv/uploads}."
                ],
            )
            for name, path in (("up/loads", "/srv"), ("uploads", "srv"), ("-x", "/srv"))
        ),
        (
            DATA | {"user": "www-data"},
            ["web_data needs web_user as numbers, such as 10001:10001, and it is www-data."],
        ),
        *((RELOADED | {"command": ["sh", "-c", script, *more]}, [IN_A_SCRIPT]) for script, *more in SCRIPTS),
        (RELOADED | {"command": ["/usr/bin/env", "bash", "-ec", "migrate && exec server"]}, [IN_A_SCRIPT]),
        (RELOADED | {"command": ["sh", "-c", 'migrate && exec "$@"', "sh", "server"]}, []),
        (RELOADED | {"command": ["uvicorn", "sh:app"]}, []),
        ({"command": ["sh", "-c", "migrate && exec server"]}, []),
    ],
)
def test_faults_name_the_variable(settings: dict[str, Any], faults: list[str]) -> None:
    assert faults_of(SETTINGS | settings, "web") == faults
    # Whatever is wrong, the container can be made: both are facts of one task.
    assert container(**settings)["name"] == "shop-app"
