"""The validate role in real runs on inventories made for each case."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
BLUE = "inventory/group_vars/blue/engine.yml"
PLAYBOOK = str(Path(sys.executable).with_name("ansible-playbook"))

ENGINE = """
argument_specs:
  main:
    options:
      engine_port: {type: int}
      engine_mode: {type: str, choices: [safe, fast], required: true}
      engine_restart: {type: str, choices: ["no", always]}
      engine_labels: {type: dict}
      engine_password: {type: str, no_log: true}
      engine_limits:
        type: dict
        options:
          memory: {type: int}
  absent:
    options:
      engine_keep: {type: bool, required: true}
"""
HOSTS = """
all:
  children:
    blue:
      hosts:
        box:
          ansible_connection: local
    red:
      hosts:
        other:
"""
GOOD = """\
# what differs
engine_mode: safe
engine_port: "{{ 5432 + site_offset }}"
site_offset: 0
site_name: copy-1
"""


@dataclass
class Outcome:
    """What a person sees."""

    code: int
    lines: list[str]
    everything: str


Validate = Callable[..., Outcome]


@pytest.fixture
def validate(tmp_path: Path) -> Validate:
    """Run the role on an inventory of one host `box` in group `blue`; options replace its content."""

    def run(
        blue: str = GOOD,
        local: str | None = None,
        hosts: str = HOSTS,
        files: dict[str, str] | None = None,
        extra: list[str] | None = None,
        **variables: Any,
    ) -> Outcome:
        contents = {
            "inventory/hosts.yml": hosts,
            BLUE: blue,
            "specs/engine/meta/argument_specs.yml": ENGINE,
            **({} if local is None else {"local.yml": local}),
            **(files or {}),
        }
        for name, text in contents.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        role = {
            "role": "validate",
            "validate_roles": ["engine"],
            "validate_roles_path": str(tmp_path / "specs"),
            "validate_files": [str(tmp_path / "local.yml")],
            "validate_known": ["API_KEY", "extra_*"],
            "validate_options": {"site_name": {"type": "str"}, "site_offset": {"type": "int"}},
            "validate_instance": "site_name",
            "validate_port_offset": "site_offset",
            "validate_ports": ["engine_port", "extra_port"],
            **variables,
        }
        (tmp_path / "play.yml").write_text(
            json.dumps([{"name": "Play", "hosts": "box", "gather_facts": False, "roles": [role]}])
        )
        done = subprocess.run(  # noqa: S603 - our own argv
            [PLAYBOOK, "-i", "inventory", "play.yml", *(extra or [])],
            cwd=tmp_path,
            env=os.environ
            | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_ROLES_PATH": str(ROOT / "roles")},
            capture_output=True,
            text=True,
            check=False,
        )
        shown = done.stdout.split("PLAY [Play]")[1].split("\nTASK")[0].split("\nPLAY RECAP")[0]
        return Outcome(done.returncode, shown.split("\n")[1:-1], done.stdout + done.stderr)

    return run


def test_a_correct_inventory_passes_without_a_word(validate: Validate) -> None:
    outcome = validate(
        local="engine_restart: 'no'\nAPI_KEY: 0123\nengine_port: null\n", extra=["-e", "extra_port=7"]
    )
    assert (outcome.code, outcome.lines) == (0, [])


def test_a_missing_or_empty_file_of_ones_own_is_no_fault(validate: Validate) -> None:
    assert validate(local=None).code == 0
    assert validate(local="# nothing yet\n").code == 0


@pytest.mark.parametrize(
    ("case", "lines"),
    [
        (
            {"blue": GOOD + "engine_prt: 1\n"},
            [f"{BLUE}:6: no role knows a variable engine_prt; did you mean engine_port?"],
        ),
        ({"local": "API_KYE: x\n"}, ["local.yml:1: no role knows a variable API_KYE; did you mean API_KEY?"]),
        (
            {"local": "\n\nzzz: 1\n"},
            ["local.yml:3: no role knows a variable zzz; remove it, or look into the roles' README.md"],
        ),
        (
            {"extra": ["-e", "engine_mood=fast"]},
            ["-e: no role knows a variable engine_mood; did you mean engine_mode?"],
        ),
        (
            {
                "hosts": HOSTS.replace(
                    "ansible_connection: local", "ansible_connection: local\n          engine_moed: x"
                )
            },
            ["inventory/hosts.yml:8: no role knows a variable engine_moed; did you mean engine_mode?"],
        ),
        (
            {"files": {"inventory/group_vars/bleu/engine.yml": "engine_port: 1\n"}},
            ["inventory/group_vars/bleu: there is no group bleu; did you mean blue?"],
        ),
        (
            {"files": {"inventory/host_vars/box.yml": "engine_mode: safe\nengine_mode: fast\n"}},
            ["inventory/host_vars/box.yml:2: engine_mode is set in line 1 too; keep one of them"],
        ),
        (
            {"local": "API_KEY: 'unclosed\n"},
            ["local.yml:2: not valid YAML; a value with special characters wants quotes"],
        ),
        ({"local": "API_KEY=secret\n"}, ["local.yml:1: want `name: value`, one per line"]),
    ],
)
def test_names(validate: Validate, case: dict[str, Any], lines: list[str]) -> None:
    outcome = validate(**case)
    assert (outcome.code, outcome.lines) == (2, lines)


@pytest.mark.parametrize(
    ("local", "complaint"),
    [
        ("engine_mode: fats", "engine_mode must be one of: safe, fast, got: fats"),
        (
            "engine_restart: no",
            "engine_restart must be text, and YAML reads it as true or false: put it in quotes",
        ),
        ("engine_port: true", "engine_port must be a number, and is true"),
        ("engine_port: http", "engine_port is of type str and we were unable to convert to int"),
        ("engine_port: 70000", "engine_port is 70000; a port is between 1 and 65535"),
        ("engine_port: 0", "engine_port is 0; a port is between 1 and 65535"),
        ("extra_port: 5432", "extra_port is 5432, which engine_port has too; give one of them another port"),
        ("engine_labels: x", "engine_labels is of type str and we were unable to convert to dict"),
        ("engine_limits: {memroy: 1}", "engine_limits.memroy. Supported parameters include: memory."),
        ("engine_mode:", "engine_mode has no value"),
        ("site_offset: 15", "site_offset is 15; want 0, 10, 20 ..."),
        ("site_offset: -10", "site_offset is -10; want 0, 10, 20 ..."),
        ("site_name: My_Copy", "site_name is 'My_Copy'; want at most 20 lower-case letters"),
        ("site_name: a--b", "site_name is 'a--b'; want at most 20"),
        ("site_name: abcdefghijklmnopqrstu", "site_name is 'abcdefghijklmnopqrstu'; want at most 20"),
        ("engine_port: '{{ 1 + }}'", "engine_port cannot be worked out: "),
    ],
)
def test_values(validate: Validate, local: str, complaint: str) -> None:
    outcome = validate(local=f"{local}\n")
    assert outcome.code == 2
    assert len(outcome.lines) == 1
    assert complaint in outcome.lines[0]


def test_the_file_that_wins_is_blamed(validate: Validate) -> None:
    inventory = validate(blue="engine_mode: x\n")
    assert inventory.lines[0].startswith(f"{BLUE}:1: engine_mode")
    assert validate(extra=["-e", "engine_mode=x"]).lines[0].startswith("-e: engine_mode")
    assert validate(local="engine_mode: x\n").lines[0].startswith("local.yml:1: engine_mode")


def test_a_value_computed_from_ones_own_is_checked_as_it_will_be(validate: Validate) -> None:
    outcome = validate(local="site_offset: 70000\n")
    assert outcome.lines == [f"{BLUE}:3: engine_port is 75432; a port is between 1 and 65535"]


def test_a_secret_is_named_but_not_shown(validate: Validate) -> None:
    outcome = validate(local="engine_password: [hunter2]\n", extra=["-vvvvv"])
    assert outcome.code == 2
    assert "local.yml:1: engine_password must be text" in outcome.everything
    assert "hunter2" not in outcome.everything


def test_required_of_main_only_and_not_what_comes_later(validate: Validate) -> None:
    assert validate(blue="").lines == ["engine_mode is required and set nowhere"]
    assert validate(blue="", validate_later=["engine_mode"]).code == 0


def test_what_is_known_only_later_is_left_to_its_role(validate: Validate) -> None:
    assert validate(local="engine_port: '{{ made_by_a_task }}'\n").code == 0


def test_another_groups_faults_do_not_stop_this_host(validate: Validate) -> None:
    assert validate(files={"inventory/group_vars/red.yml": "engine_prt: 1\n"}).code == 0
