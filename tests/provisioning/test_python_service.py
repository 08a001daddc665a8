"""The container of a Python service, made from its settings."""

from typing import Any

import pytest

from tests.by_path import load

plugin = load("plugins/filter/python_service.py")

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
}


def container(**settings: Any) -> dict[str, Any]:
    made: dict[str, Any] = plugin.python_service(SETTINGS | settings, {"app": "made:1"})
    return made


def test_confined_and_unpublished_unless_told_otherwise() -> None:
    made = container()
    assert (made["read_only"], made["cap_drop"]) == (True, ["ALL"])
    assert made["security_opts"] == ["no-new-privileges:true"]
    assert made["published_ports"] == []
    assert [mount["type"] for mount in made["mounts"]] == ["tmpfs"]


def test_a_port_is_published_on_its_address() -> None:
    assert container(host_port=8001)["published_ports"] == ["127.0.0.1:8001:8000"]


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
                "web_command is a text. Make it a list, such as [uvicorn, 'shop:app'].",
                "web_ready is a text. Make it a list, such as [uvicorn, 'shop:app'].",
            ],
        ),
        ({"user": "0:0"}, ["web_user=0:0 is root. Use another uid, such as 10001:10001."]),
        ({"user": 0}, ["web_user=0 is root. Use another uid, such as 10001:10001."]),
        ({"user": "root"}, ["web_user=root is root. Use another uid, such as 10001:10001."]),
    ],
)
def test_faults_name_the_variable(settings: dict[str, Any], faults: list[str]) -> None:
    assert plugin.python_service_faults(SETTINGS | settings, "web") == faults
    # Whatever is wrong, the container can be made: both are facts of one task.
    assert container(**settings)["name"] == "shop-app"
