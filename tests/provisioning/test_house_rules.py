"""Every role keeps the house's rules; and each rule, broken in a copy, says what is wrong and where."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.by_path import ROOT, environment_variables
from tests.provisioning import house_rules

NAMES = [role.name for role in house_rules.roles(ROOT / "roles")]
TASK = """
- name: Broken
  {}
"""


def environments(root: Path) -> set[str]:
    """Return the names that an environment goes by."""
    options = environment_variables(root)["validate_options"]
    return {path.name for path in (root / "inventories").iterdir()} | {
        *options["dashtam_mode"]["choices"],
        "production",
    }


def faults(root: Path, name: str) -> list[str]:
    """Return all that is wrong with a role."""
    role = house_rules.Role(root / "roles" / name)
    return [
        *house_rules.one_role_makes_each_kind(role),
        *house_rules.no_environment_is_named(role, environments(root)),
        *house_rules.the_project_is_not_named(role, "dashtam"),
        *house_rules.reads_its_own_variables_only(role),
        *house_rules.sets_its_own_variables_only(role),
        *house_rules.every_argument_is_typed_and_described(role),
        *house_rules.its_interface_is_its_own(role),
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_role_keeps_the_rules(name: str) -> None:
    assert faults(ROOT, name) == []


def test_plugins_keep_the_rules() -> None:
    assert house_rules.plugins_serve_everybody(ROOT, environments(ROOT)) == []


def test_validation_is_switched_off_nowhere() -> None:
    assert house_rules.validation_switched_off(ROOT) == []


def test_a_call_that_switches_validation_off_is_told(copy: Path) -> None:
    path = copy / "roles/network/tasks/main.yml"
    text = path.read_text()
    path.write_text(text.replace("networks\n", "networks\n    rolespec_validate: false\n", 1))
    (found,) = house_rules.validation_switched_off(copy)
    assert found.startswith("roles/network/tasks/main.yml:6: rolespec_validate; ")


def test_every_variable_of_an_inventory_is_declared() -> None:
    assert house_rules.variables_nobody_declares(ROOT) == []


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """What the rules look at, to be broken."""
    ignored = shutil.ignore_patterns("__pycache__", "molecule")
    for folder in ("roles", "plugins", "inventories", "playbooks/environment"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    return tmp_path


@pytest.mark.parametrize(
    ("file", "said", "other", "fault"),
    [
        (
            "redis/tasks/declare.yml",
            "",
            TASK.format("community.docker.docker_container: {name: web, state: absent}"),
            "calls docker_container, which no role may call",
        ),
        (
            "redis/tasks/declare.yml",
            "",
            "\n- name: Broken\n  block:\n    - name: Within\n      docker_volume: {name: data}\n",
            "calls docker_volume, which no role may call",
        ),
        (
            "redis/tasks/declare.yml",
            "",
            TASK.format("dashtam.stack.networks: {networks: []}"),
            "calls networks, which only container may call",
        ),
        (
            "redis/tasks/declare.yml",
            "",
            TASK.format("ansible.builtin.command: {cmd: docker run web}"),
            "docker run is for container alone",
        ),
        (
            "redis/vars/main.yml",
            "",
            "__redis_test: \"{{ redis_name == 'ci' }}\"\n",
            "names the environment ci",
        ),
        (
            "redis/vars/main.yml",
            "",
            "__redis_ports: {test: 6380}\n",
            "names the environment test",
        ),
        (
            "redis/vars/main.yml",
            "[] if redis_storage == 'tmpfs' or",
            "[] if redis_name != 'development' or",
            "names the environment development",
        ),
        (
            "redis/README.md",
            "For tests, say",
            "In ci say",
            "speaks of the environment ci",
        ),
        (
            "redis/meta/argument_specs.yml",
            "description: Container name.",
            "description: Container name, such as dashtam-redis.",
            "speaks of dashtam; make it a variable of the role",
        ),
        (
            "redis/vars/main.yml",
            "",
            "__redis_hosts: \"{{ groups['all'] | map('extract', hostvars) }}\"\n",
            "reads groups, neither its own nor of a role that it imports",
        ),
        (
            "redis/vars/main.yml",
            "[] if redis_storage == 'tmpfs' or",
            "[] if postgres_storage == 'tmpfs' or",
            "reads postgres_storage, neither its own nor of a role that it imports",
        ),
        (
            "redis/defaults/main.yml",
            'redis_image: ""',
            'redis_image: "{{ __images_plan.images.redis }}"',
            "reads __images_plan, neither its own nor of a role that it imports",
        ),
        (
            "env_file/templates/variables.j2",
            "env_file_values",
            "app_env",
            "reads app_env, neither its own nor of a role that it imports",
        ),
        (
            "redis/tasks/declare.yml",
            "",
            TASK.format("ansible.builtin.set_fact: {answer: 42}"),
            "sets answer, which does not begin with redis_ or __redis_",
        ),
        (
            "redis/vars/main.yml",
            "",
            "redis_answer: 42\n",
            "sets redis_answer, of which README.md does not tell; begin it with __ or describe it",
        ),
        (
            "redis/meta/argument_specs.yml",
            "        type: dict\n",
            "",
            "redis_labels has no type; give it one of bool, bytes, dict, float, int, list, path, str",
        ),
        (
            "redis/meta/argument_specs.yml",
            "        elements: str\n",
            "",
            "redis_aliases is a list of what? Give it elements",
        ),
        (
            "container/meta/argument_specs.yml",
            "            description: Image reference; it must be present.\n",
            "",
            "container_specs.image has no description",
        ),
        (
            "postgres/meta/argument_specs.yml",
            "        no_log: true\n",
            "",
            "postgres_owner_password is a secret; give it no_log",
        ),
        (
            "redis/meta/argument_specs.yml",
            "    short_description: Declare it and apply it alone\n",
            "",
            "the entry point main has no short_description",
        ),
        (
            "redis/meta/argument_specs.yml",
            "  main:\n",
            "  status:\n    short_description: Status\n    options: *options\n  main:\n",
            "the entry point status has no file tasks/status.yml",
        ),
        (
            "redis/meta/entry_points.yml",
            "",
            "status:\n  short_description: Status\n",
            "the entry point status has no file tasks/status.yml",
        ),
        (
            "redis/meta/argument_specs.yml",
            "      redis_settings:\n",
            "      settings:\n",
            "settings does not begin with redis_",
        ),
        (
            "redis/defaults/main.yml",
            "redis_settings: {}\n",
            "",
            "redis_settings is not required and has no default in defaults/main.yml",
        ),
        (
            "redis/vars/main.yml",
            'restart_policy: "{{ redis_restart_policy }}"',
            "restart_policy: always",
            "redis_restart_policy is read nowhere; remove it",
        ),
        (
            "redis/defaults/main.yml",
            "",
            "redis_answer: 42\n",
            "redis_answer is not in meta/argument_specs.yml",
        ),
    ],
)
def test_a_broken_rule_is_told(copy: Path, file: str, said: str, other: str, fault: str) -> None:
    path = copy / "roles" / file
    text = path.read_text()
    assert said in text
    path.write_text(text.replace(said, other, 1) if said else text + other)
    role = Path(file).parts[0]
    found = faults(copy, role)
    assert any(re.fullmatch(rf"roles/{role}/[^ ]+: {re.escape(fault)}", line) for line in found), found


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (
            "docker.from_env().containers.run('web')",
            "docker.from_env().containers.run is for the role container alone",
        ),
        ("SHORT = 'test'", "names the environment test"),
        ("GROUPS = 'group_names'", "reads group_names of the inventory"),
    ],
)
def test_a_plugin_that_breaks_a_rule_is_told(copy: Path, line: str, fault: str) -> None:
    path = copy / "plugins/action/say.py"
    path.write_text(f"{path.read_text()}{line}\n")
    (found,) = house_rules.plugins_serve_everybody(copy, environments(copy))
    assert re.fullmatch(rf"plugins/action/say\.py:[0-9]+: {re.escape(fault)}", found)


@pytest.mark.parametrize(
    ("file", "line", "fault"),
    [
        (
            "inventories/test/group_vars/test.yml",
            "redis_host_prot: 1",
            "no role declares redis_host_prot, nor does validate_options",
        ),
        (
            "inventories/dev/hosts.yml",
            "          redis_prot: 1",
            "no role declares redis_prot, nor does validate_options",
        ),
        ("playbooks/environment/vars/main/services.yml", "redis_prot: 1", "no role declares redis_prot"),
        (
            "playbooks/environment/defaults/main.yml",
            "dashtam_mood: 1",
            "no role declares dashtam_mood, nor does validate_options",
        ),
    ],
)
def test_a_variable_that_nobody_declares_is_told(copy: Path, file: str, line: str, fault: str) -> None:
    path = copy / file
    path.write_text(f"{path.read_text()}{line}\n")
    assert house_rules.variables_nobody_declares(copy) == [f"{file}: {fault}"]
