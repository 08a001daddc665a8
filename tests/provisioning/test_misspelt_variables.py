"""A misspelt variable of a role is told by the role itself, in a play that does not use `validate`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.by_path import load
from tests.provisioning import playbook

plugin = load("plugins/lookup/misspelt_variables.py")

OPTIONS = {"app_port", "app_host_port", "app_command", "app_env", "app_memory", "app_user"}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("app_prot", "app_port"),
        ("app_host_prot", "app_host_port"),
        ("app_comand", "app_command"),
        ("app_memroy", "app_memory"),
        ("app_port", None),
        ("app_container", None),
        ("app_version", None),
        ("app_domain", None),
        ("approt", None),
        ("other_prot", None),
    ],
)
def test_only_what_is_nearly_a_variable_of_the_role_is_told(name: str, meant: str | None) -> None:
    told = plugin.misspelt("app", {name, "app_env"}, OPTIONS, {"app_container"})
    assert told == (
        [
            f"The role app has no variable {name}; did you mean {meant}? "
            "A variable of your own needs a name that does not begin with app_."
        ]
        if meant
        else []
    )


@pytest.mark.parametrize(
    ("role", "settings", "said"),
    [
        ("app", {"app_prot": 9000}, "did you mean app_port?"),
        (
            "app",
            {"images_prefx": "x"},
            "The role images has no variable images_prefx; did you mean images_prefix?",
        ),
        ("callback", {"callback_comand": ["x"]}, "did you mean callback_command?"),
        ("postgres", {"postgres_databse": "shop"}, "did you mean postgres_database?"),
        ("redis", {"redis_memroy": "1G"}, "did you mean redis_memory?"),
        ("redis", {"container_instanc": "x"}, "did you mean container_instance?"),
    ],
)
def test_each_service_role_stops_before_it_asks_an_engine(
    tmp_path: Path, role: str, settings: dict[str, object], said: str
) -> None:
    required: dict[str, object] = {
        "app_command": ["true"],
        "app_image": "x",
        "callback_command": ["true"],
        "callback_image": "x",
        "postgres_owner_password": "good day",
        "redis_password": "good day",
    }
    play = {
        "hosts": "all",
        "gather_facts": False,
        "vars": required | settings,
        "roles": [f"dashtam.stack.{role}"],
    }
    (tmp_path / "playbook.yml").write_text(json.dumps([play]))
    run = playbook.start(*playbook.HERE, str(tmp_path / "playbook.yml"), DOCKER_HOST="unix:///nowhere")
    assert said in " ".join(playbook.finish(run, 2).split())
