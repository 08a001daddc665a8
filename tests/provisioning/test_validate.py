"""The validate role in real runs on inventories made for each case."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
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
      engine_password: {type: str, no_log: true}
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


@pytest.fixture(scope="module")
def plugin() -> ModuleType:
    path = ROOT / "roles/validate/action_plugins/validate_variables.py"
    spec = importlib.util.spec_from_file_location("validate_variables", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


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
        done = subprocess.run(
            [PLAYBOOK, "-i", "inventory", "play.yml", *(extra or [])],
            cwd=tmp_path,
            env=os.environ
            | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_ROLES_PATH": str(ROOT / "roles")},
            capture_output=True,
            text=True,
            check=False,
        )
        # The role's own lines end with the first empty one, whatever the stdout callback adds.
        shown = done.stdout.split("PLAY [Play]")[1].split("\n")[1:]
        return Outcome(done.returncode, shown[: shown.index("")], done.stdout + done.stderr)

    return run


def test_a_correct_inventory_passes_without_a_word(validate: Validate) -> None:
    outcome = validate(
        local="engine_restart: 'no'\nAPI_KEY: 0123\nengine_port: null\n", extra=["-e", "extra_port=7"]
    )
    assert (outcome.code, outcome.lines) == (0, [])


def test_a_missing_or_empty_file_of_ones_own_is_no_fault(validate: Validate) -> None:
    assert validate(local=None).code == 0
    assert validate(local="# nothing yet\n").code == 0


def test_every_misspelt_name_is_told_with_its_place(validate: Validate) -> None:
    outcome = validate(
        blue=GOOD + "engine_prt: 1\n",
        local="API_KYE: x\n\nzzz: 1\n",
        hosts=HOSTS.replace("local", "local\n          engine_moed: x"),
        files={"inventory/group_vars/red.yml": "engine_prt: another group's fault\n"},
        extra=["-e", "engine_mood=fast"],
    )
    assert outcome.code == 2
    assert sorted(outcome.lines) == [
        "-e: no role knows a variable engine_mood; did you mean engine_mode?",
        f"{BLUE}:6: no role knows a variable engine_prt; did you mean engine_port?",
        "inventory/hosts.yml:8: no role knows a variable engine_moed; did you mean engine_mode?",
        "local.yml:1: no role knows a variable API_KYE; did you mean API_KEY?",
        "local.yml:3: no role knows a variable zzz; remove it, or look into the roles' README.md",
    ]


def test_what_the_playbooks_own_file_sets_is_refused_in_an_inventory_alone(validate: Validate) -> None:
    files = {"vars.yml": "engine_restart: 'no'\n\nengine_mode: fast\nsite_offset: 0\n"}
    outcome = validate(
        blue="engine_mode: safe\n",
        local="engine_restart: always\n",
        hosts=HOSTS.replace("local", "local\n          engine_restart: always"),
        files=files,
        extra=["-e", "site_offset=10"],
        validate_reserved=["vars.yml"],
    )
    assert outcome.code == 2
    assert outcome.lines == [
        f"{BLUE}:1: engine_mode has no effect, as vars.yml:3 sets it, which wins over an inventory; "
        "remove it here",
        "inventory/hosts.yml:8: engine_restart has no effect, as vars.yml:1 sets it, which wins over an "
        "inventory; remove it here",
    ]


def test_faults_of_the_files_themselves(validate: Validate) -> None:
    outcome = validate(
        local="API_KEY: 'unclosed\n",
        files={
            "inventory/group_vars/bleu/engine.yml": "engine_port: 1\n",
            "inventory/host_vars/box.yml": "engine_mode: safe\nengine_mode: fast\n",
            "other.yml": "API_KEY=secret\n",
        },
        validate_files=["local.yml", "other.yml"],
    )
    assert outcome.code == 2
    assert sorted(outcome.lines) == [
        "inventory/group_vars/bleu: there is no group bleu; did you mean blue?",
        "inventory/host_vars/box.yml:2: engine_mode is set in line 1 too; keep one of them",
        "local.yml:2: not valid YAML; a value with special characters wants quotes",
        "other.yml:1: want `name: value`, one per line",
    ]


def test_every_wrong_value_is_told_at_once(validate: Validate) -> None:
    outcome = validate(
        local="engine_mode: fats\nengine_restart: no\nsite_name: My_Copy\nsite_offset: 15\nengine_port: 70000"
    )
    assert outcome.code == 2
    assert outcome.lines == [
        "local.yml:1: engine_mode must be one of: safe, fast, got: fats",
        "local.yml:5: engine_port is 70000; a port is between 1 and 65535",
        "local.yml:2: engine_restart must be text, and YAML reads it as true or false: put it in quotes",
        "local.yml:3: site_name is 'My_Copy'; want at most 20 lower-case letters, digits and single hyphens "
        "between them, beginning with a letter",
        "local.yml:4: site_offset is 15; want 0, 10, 20 ...",
    ]


def test_a_value_that_cannot_be_templated_is_told(validate: Validate) -> None:
    outcome = validate(local="engine_port: '{{ 1 + }}'\n")
    assert outcome.code == 2
    assert outcome.lines[0].startswith("local.yml:1: engine_port cannot be worked out: ")


@pytest.mark.parametrize(
    ("option", "value", "complaint"),
    [
        ({"type": "int"}, True, "must be a number, and is true"),
        ({"type": "int"}, "http", "is of type str and we were unable to convert to int"),
        ({"type": "str"}, 1.5, "must be text, and YAML reads it as a number"),
        ({"type": "str"}, {"a": 1}, "must be text, and YAML reads it as a mapping"),
        ({"type": "str", "required": True}, None, "has no value"),
        ({"type": "dict"}, "x", "is of type str and we were unable to convert to dict"),
        ({"type": "dict", "options": {"memory": {"type": "int"}}}, {"memroy": 1}, "include: memory"),
        ({"type": "int", "no_log": True}, "hunter2", "is not of type int"),
        ({"type": "int"}, "5432", None),
        ({"type": "str"}, None, None),
        ({"type": "bool", "required": True}, False, None),
    ],
)
def test_one_value(plugin: ModuleType, option: dict[str, Any], value: Any, complaint: str | None) -> None:
    faults = plugin.value_faults("engine_x", option, value)
    assert [complaint in fault for fault in faults] == [True] if complaint else not faults
    assert "hunter2" not in str(faults)


@pytest.mark.parametrize(
    ("ports", "faults"),
    [
        ({"a": 1, "b": "65535", "c": None}, {}),
        ({"a": 0}, {"a": "is 0; a port is between 1 and 65535"}),
        ({"a": 65536}, {"a": "is 65536; a port is between 1 and 65535"}),
        ({"a": 5432, "b": "5432"}, {"b": "is 5432, which a has too; give one of them another port"}),
        ({"a": None, "b": None, "c": "http"}, {}),
    ],
)
def test_ports(plugin: ModuleType, ports: dict[str, Any], faults: dict[str, str]) -> None:
    assert plugin.port_faults(ports) == faults


def test_instance_names_and_port_offsets(plugin: ModuleType) -> None:
    for name in ("a", "copy-1", "abcdefghijklmnopqrst"):
        assert plugin.instance_fault(name) is None
    for name in ("", "1a", "-a", "a-", "a--b", "A", "a_b", "a.b", "a\n", "abcdefghijklmnopqrstu", None, 1):
        assert plugin.instance_fault(name)
    for offset in (0, 10, "700"):
        assert plugin.offset_fault(offset) is None
    for offset in (5, -10, "x", None, 10.5):
        assert plugin.offset_fault(offset)


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
