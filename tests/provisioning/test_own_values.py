"""A person's own values: env/local.dev.yml, and for one instance env/local.dev.<instance>.yml over it."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest

from src.core.config import ServerSettings
from tests.by_path import environment_variables
from tests.provisioning import clean_plan, playbook

# `playbooks/tasks/values.yml` as every playbook has it, and what a run would say.
SHOW = [
    {
        "name": "Show",
        "hosts": "dev",
        "gather_facts": False,
        "roles": ["environment"],
        "vars": {"concise_answer_only": True},
        "tasks": [
            {"name": "Values", "ansible.builtin.import_tasks": "tasks/values.yml"},
            {
                "name": "Tell",
                "dashtam.stack.say": {"text": "{{ shown | to_json }}"},
                "vars": {
                    "shown": {
                        "name": "{{ dashtam_name }}",
                        "ports": ["{{ app_host_port }}", "{{ postgres_host_port }}"],
                        "level": "{{ LOG_LEVEL | default('INFO') }}",
                        "advice": "{{ container_port_advice }}",
                    },
                    "container_port_clashes": [],
                },
            },
        ],
    }
]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = clean_plan.clone(tmp_path)
    (folder / "playbooks/show.yml").write_text(json.dumps(SHOW))
    (folder / "env").mkdir()
    return folder


def show(checkout: Path, *arguments: str, code: int = 0) -> str:
    process = playbook.start(
        *("-i", "inventories/dev", "playbooks/show.yml", *arguments),
        folder=checkout,
        config=checkout,
        collections=checkout / "playbooks/collections",
        PYTHONDONTWRITEBYTECODE="1",
    )
    return playbook.finish(process, code)


def write(checkout: Path, name: str, text: str) -> Path:
    path = checkout / "env" / name
    path.write_text(text)
    return path


def shown(checkout: Path, *arguments: str) -> Any:
    return json.loads(show(checkout, *arguments))


def test_a_value_of_one_instance_wins_over_the_checkouts(checkout: Path) -> None:
    write(checkout, "local.dev.yml", "app_host_port: 9000\nLOG_LEVEL: DEBUG\n")
    second = write(checkout, "local.dev.second.yml", "app_host_port: 9010\ndashtam_port_offset: 20\n")
    second.chmod(0o644)
    first = shown(checkout)
    assert (first["name"], first["ports"], first["level"]) == ("dashtam-dev", [9000, 5432], "DEBUG")
    assert "env/local.dev.yml:" in first["advice"]

    copy = shown(checkout, "-e", "dashtam_instance=second")
    assert (copy["name"], copy["ports"], copy["level"]) == ("second-dev", [9010, 5452], "DEBUG")
    assert "env/local.dev.second.yml:" in copy["advice"]
    assert second.stat().st_mode & 0o777 == 0o600

    # The checkout's own instance has its file, too; what the command line says wins over both.
    write(checkout, "local.dev.yml", "dashtam_instance: second\nLOG_LEVEL: DEBUG\n")
    assert shown(checkout) == copy
    third = shown(checkout, "-e", "dashtam_instance=third", "-e", "app_host_port=9020")
    assert (third["name"], third["ports"]) == ("third-dev", ["9020", 5432])


def test_a_fault_in_it_is_said_with_its_place(checkout: Path) -> None:
    write(checkout, "local.dev.yml", "LOG_LEVEL: DEBUG\n")
    copy = ("-e", json.dumps({"dashtam_instance": "second"}))
    write(checkout, "local.dev.second.yml", "app_host_prot: 9010\n")
    assert "env/local.dev.second.yml:1: no role knows a variable app_host_prot" in show(
        checkout, *copy, code=2
    )
    path = write(checkout, "local.dev.second.yml", "LOG_LEVEL: 'canary\n")
    output = show(checkout, *copy, code=2)
    assert f"{path}, line 2: not valid YAML" in output
    assert "canary" not in output


def test_it_cannot_say_which_instance_it_is_for(checkout: Path) -> None:
    write(checkout, "local.dev.yml", "dashtam_instance: second\n")
    path = write(checkout, "local.dev.second.yml", "dashtam_instance: third\n")
    assert f"{path}: sets what decides whether this file is read; remove that line" in show(checkout, code=2)


def test_a_setting_that_keeps_them_from_being_variables_is_named(checkout: Path) -> None:
    process = playbook.start(
        *("-i", "inventories/dev", "playbooks/show.yml"),
        folder=checkout,
        config=checkout,
        collections=checkout / "playbooks/collections",
        ANSIBLE_INJECT_FACT_VARS="false",
    )
    output = playbook.finish(process, 2)
    assert "Facts are kept out of the variables by ANSIBLE_INJECT_FACT_VARS; remove that" in output
    assert not (checkout / "env/local.dev.yml").exists()


def test_what_the_app_has_a_closed_list_for_is_refused_before_anything_starts(checkout: Path) -> None:
    write(checkout, "local.dev.yml", "LOG_LEVEL: NOPE\nDB_ECHO: maybe\n")
    output = show(checkout, code=2)
    assert "env/local.dev.yml:1: LOG_LEVEL must be one of: DEBUG, INFO, " in output
    assert "env/local.dev.yml:2: DB_ECHO " in output
    # As Ansible reads them: a text that says yes or no, or nothing, which counts as not given.
    for level, echo in (("ERROR", "'on'"), ("''", "true"), ("", "no")):
        write(checkout, "local.dev.yml", f"LOG_LEVEL: {level}\nDB_ECHO: {echo}\n")
        assert shown(checkout)["name"] == "dashtam-dev"


def test_the_levels_are_those_of_the_app() -> None:
    declared = environment_variables()["validate_options"]
    assert tuple(declared["LOG_LEVEL"]["choices"]) == get_args(
        ServerSettings.model_fields["log_level"].annotation
    )
