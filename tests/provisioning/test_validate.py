"""The validate role in real runs on inventories made for each case."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.by_path import load
from tests.provisioning import playbook

plugin = load("plugins/action/validate_variables.py")

BLUE = "inventory/group_vars/blue/engine.yml"

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
            "role": "dashtam.stack.validate",
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
        arguments = ["-i", "inventory", "play.yml", *(extra or [])]
        process = playbook.start(*arguments, folder=tmp_path, stderr=subprocess.PIPE)
        stdout, stderr = process.communicate()
        # The role's own lines end with the first empty one, whatever the stdout callback adds.
        shown = stdout.partition("to correct, named below. Nothing was started.\n")[2]
        lines = [line.strip() for line in shown.split("\n\n")[0].splitlines()]
        assert process.returncode == (2 if lines else 0), stdout + stderr
        return Outcome(lines, stdout + stderr)

    return run


def test_a_correct_inventory_passes_without_a_word(validate: Validate) -> None:
    outcome = validate(
        local="engine_restart: 'no'\nAPI_KEY: 0123\nengine_port: null\n", extra=["-e", "extra_port=7"]
    )
    assert outcome.lines == []


def test_what_is_not_there_yet_is_no_fault(validate: Validate) -> None:
    outcome = validate(
        blue="engine_port: '{{ made_by_a_task }}'\n",
        local=None,
        files={"empty.yml": "# nothing yet\n"},
        validate_files=["local.yml", "empty.yml"],
        validate_later=["engine_mode"],
    )
    assert outcome.lines == []


def test_every_misspelt_name_is_told_with_its_place(validate: Validate) -> None:
    outcome = validate(
        blue=GOOD + "engine_prt: 1\n",
        local="API_KYE: x\n\nzzz: 1\n",
        hosts=HOSTS.replace("local", "local\n          engine_moed: x"),
        files={"inventory/group_vars/red.yml": "engine_prt: another group's fault\n"},
        extra=["-e", "engine_mood=fast"],
    )
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
    assert sorted(outcome.lines) == [
        "inventory/group_vars/bleu: there is no group bleu; did you mean blue?",
        "inventory/host_vars/box.yml:2: engine_mode is set in line 1 too; keep one of them",
        "local.yml:2: not valid YAML; a value with special characters needs quotes",
        "other.yml:1: write `name: value`, one per line",
    ]


def test_a_number_that_yaml_would_read_as_another_is_refused(validate: Validate) -> None:
    outcome = validate(
        blue=GOOD.replace('"{{ 5432 + site_offset }}"', "0x1f90").replace("offset: 0", "offset: 010"),
        local="API_KEY: 0123\nengine_port: 8_000\nengine_restart: '0123'\nsite_name: 1:30\n",
    )
    assert [line.partition(" is not in decimal digits alone;")[0] for line in outcome.lines] == [
        f"{BLUE}:3: the number of engine_port",
        f"{BLUE}:4: the number of site_offset",
        "local.yml:2: the number of engine_port",
        "local.yml:4: the number of site_name",
    ]


def test_every_wrong_value_is_told_at_once(validate: Validate) -> None:
    outcome = validate(
        local="engine_mode: fats\nengine_restart: no\nsite_name: My_Copy\nsite_offset: 15\nengine_port: 70000"
    )
    assert outcome.lines == [
        "local.yml:1: engine_mode must be one of: safe, fast, got: fats",
        "local.yml:5: engine_port is 70000; a port is between 1 and 65535",
        "local.yml:2: engine_restart must be text, and YAML reads it as true or false: put it in quotes",
        "local.yml:3: site_name is 'My_Copy'; use at most 20 lower-case letters, digits and single hyphens "
        "between them, beginning with a letter",
        "local.yml:4: site_offset is 15; it must be 0, 10, 20 ...",
    ]


def test_values_are_judged_as_they_will_be(validate: Validate) -> None:
    blue = GOOD.replace("engine_mode: safe\n", "engine_restart: '{{ 1 + }}'\n")
    outcome = validate(blue=blue, local="site_offset: 70000\n")
    required, port, unworkable = outcome.lines
    assert required == "engine_mode is required, but set nowhere"
    assert port == f"{BLUE}:3: engine_port is 75432; a port is between 1 and 65535"
    assert unworkable.startswith(f"{BLUE}:2: engine_restart cannot be evaluated: ")


@pytest.mark.parametrize(
    ("option", "value", "complaint"),
    [
        ({"type": "int"}, True, "must be a number, and is true"),
        ({"type": "int"}, "http", "is 'http'; write a number such as 8000, in decimal digits alone"),
        *(
            ({"type": "int"}, odd, f"is {odd!r}; write")
            for odd in ("0x1f90", "8_000", "080", " 80", "٨٠", 80.0)
        ),
        ({"type": "float"}, "1_0.5", "write a number such as 1.5"),
        ({"type": "str"}, 1.5, "must be text, and YAML reads it as a number"),
        ({"type": "str"}, {"a": 1}, "must be text, and YAML reads it as a mapping"),
        ({"type": "str", "required": True}, None, "has no value"),
        ({"type": "dict"}, "x", "is of type str and we were unable to convert to dict"),
        ({"type": "dict", "options": {"memory": {"type": "int"}}}, {"memroy": 1}, "include: memory"),
        ({"type": "int", "no_log": True}, "hunter2", "write a number such as 8000"),
        ({"type": "float", "no_log": True}, ["hunter2"], "is not of type float"),
        ({"type": "bytes"}, "1Q", "has a wrong value: 1Q is not a size. Write one such as 512M or 1.5G."),
        *(
            ({"type": "bytes"}, odd, f"{odd} is not a size.")
            for odd in ("1 G", "0x10", "1_0M", ".5G", "5Gb/s", "-1")
        ),
        ({"type": "bytes"}, True, "has a wrong value: True is not a size."),
        ({"type": "int"}, "5432", None),
        ({"type": "int"}, "-1", None),
        ({"type": "float"}, "0.5", None),
        ({"type": "float"}, 2, None),
        *(({"type": "bytes"}, size, None) for size in ("64M", "1.5g", "512MB", "1024", 0)),
        ({"type": "str"}, None, None),
        ({"type": "bool", "required": True}, False, None),
    ],
)
def test_one_value(option: dict[str, Any], value: Any, complaint: str | None) -> None:
    faults = plugin.value_faults("engine_x", option, value)
    assert [complaint in fault for fault in faults] == [True] if complaint else not faults
    assert "hunter2" not in str(faults)


@pytest.mark.parametrize(
    ("ports", "faults"),
    [
        ({"a": 1, "b": "65535", "c": None}, {}),
        ({"a": 0}, {"a": "is 0; a port is between 1 and 65535"}),
        ({"a": 65536}, {"a": "is 65536; a port is between 1 and 65535"}),
        ({"a": 5432, "b": "5432"}, {"b": "is 5432, which a also has; give one of them another port"}),
        ({"a": None, "b": None, "c": "http"}, {}),
    ],
)
def test_ports(ports: dict[str, Any], faults: dict[str, str]) -> None:
    assert plugin.port_faults(ports) == faults


def test_instance_names_and_port_offsets() -> None:
    for name in ("a", "copy-1", "abcdefghijklmnopqrst"):
        assert plugin.instance_fault(name) is None
    for wrong in ("", "1a", "-a", "a-", "a--b", "A", "a_b", "a.b", "a\n", "abcdefghijklmnopqrstu", None, 1):
        assert plugin.instance_fault(wrong)
    for offset in (0, 10, "700"):
        assert plugin.offset_fault(offset) is None
    for refused in (5, -10, "x", None, 10.5):
        assert plugin.offset_fault(refused)


def test_what_a_person_writes_is_never_run(validate: Validate, tmp_path: Path) -> None:
    command = "{{ lookup('ansible.builtin.pipe', 'touch FOLDER/ran') }}".replace("FOLDER", str(tmp_path))
    local = "".join(f"{name}: {json.dumps(command)}\n" for name in ("API_KEY", "engine_port", "site_name"))
    outcome = validate(blue=GOOD + "engine_restart: '{{ API_KEY }}'\n", local=local)
    assert not (tmp_path / "ran").exists()
    assert [line.split(" is ")[0].split(" must ")[0] for line in outcome.lines] == [
        "local.yml:2: engine_port",
        f"{BLUE}:6: engine_restart",
        "local.yml:3: site_name",
    ]


def test_no_part_of_a_secret_is_shown(validate: Validate) -> None:
    outcome = validate(
        blue=GOOD + 'engine_password: "{{ \'hunter2 }}"\n',
        local="API_KEY: s3cr3t {{ x }}\nengine_restart: s3cr3t {{ x }}\n",
    )
    assert f"{BLUE}:6: engine_password cannot be evaluated" in outcome.lines
    assert "local.yml:2: engine_restart must be one of: no, always, got: ***" in outcome.lines
    assert "hunter2" not in outcome.everything
    assert "s3cr3t" not in outcome.everything


def test_the_file_that_wins_is_blamed(validate: Validate) -> None:
    outcome = validate(
        blue="engine_mode: x\nengine_port: x\nengine_restart: x\n",
        local="engine_port: y\nengine_restart: y\n",
        extra=["-e", "engine_restart=z"],
    )
    assert [line.partition(" must ")[0].partition(" is ")[0] for line in outcome.lines] == [
        f"{BLUE}:1: engine_mode",
        "local.yml:1: engine_port",
        "-e: engine_restart",
    ]


def test_a_secret_is_named_but_not_shown(validate: Validate) -> None:
    outcome = validate(local="engine_password: [hunter2]\n", extra=["-vvvvv"])
    assert "local.yml:1: engine_password must be text" in outcome.everything
    assert "hunter2" not in outcome.everything
