"""Each role's README says what its argument_specs say, and its example uses variables that there are."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.by_path import ROOT

ROLES = ROOT / "roles"
NAMES = sorted(path.parents[1].name for path in ROLES.glob("*/meta/argument_specs.yml"))
PREFIX = "dashtam.stack."


def readme(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(folder / "readme.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def specs(role: str) -> dict[str, Any]:
    loaded = yaml.safe_load((ROLES / role / "meta/argument_specs.yml").read_text())
    found: dict[str, Any] = loaded["argument_specs"]
    return found


def test_every_readme_is_up_to_date() -> None:
    run = readme(ROLES, "--check")
    assert (run.returncode, run.stderr) == (0, "")


@pytest.fixture
def roles(tmp_path: Path) -> Path:
    """One role, ``redis``, to change."""
    shutil.copy(ROLES / "readme.py", tmp_path)
    for name in ("README.md", "meta/argument_specs.yml"):
        (tmp_path / "redis" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROLES / "redis" / name, tmp_path / "redis" / name)
    return tmp_path


@pytest.mark.parametrize(
    ("said", "other", "row"),
    [
        ("default: 256M", "default: 1G", "| `redis_tmpfs_size` | bytes | `1G` | Size limit of the tmpfs. |"),
        (
            "description: Size limit of the tmpfs.",
            "description: [A C(size)., 'B | C']",
            r"| `redis_tmpfs_size` | bytes | `256M` | A `size`. B \| C |",
        ),
        (
            "[volume, tmpfs]",
            "[volume, memory]",
            "| `redis_storage` | `volume`, `memory` | `volume` | `volume` lasts, `tmpfs` is gone when the "
            "container stops. |",
        ),
        (
            "default: 256M",
            "required: true",
            "| `redis_tmpfs_size` | bytes | required | Size limit of the tmpfs. |",
        ),
        (
            "  main:\n",
            "  more:\n    short_description: More\n    options:\n"
            "      redis_more: {type: list, elements: str, default: [], description: More.}\n  main:\n",
            "| `redis_more` | list of str | `[]` | More. Only for `more`. |",
        ),
    ],
)
def test_what_differs_is_named_then_mended(roles: Path, said: str, other: str, row: str) -> None:
    file = roles / "redis/meta/argument_specs.yml"
    assert file.read_text().count(said) == 1
    file.write_text(file.read_text().replace(said, other))
    run = readme(roles, "--check")
    assert run.returncode == 1
    assert f"{roles}/redis/README.md: not what meta/argument_specs.yml says; run " in run.stderr
    assert readme(roles).returncode == 0
    assert row in (roles / "redis/README.md").read_text().splitlines()
    assert readme(roles, "--check").returncode == 0


def test_a_readme_without_a_place_for_the_tables_is_named(roles: Path) -> None:
    (roles / "redis/README.md").write_text("# redis\n")
    run = readme(roles)
    assert run.returncode == 1
    assert f"{roles}/redis/README.md: the tables go between the lines" in run.stderr
    (roles / "redis/README.md").unlink()
    assert "No such file" in readme(roles).stderr


def examples(role: str) -> list[dict[str, Any]]:
    """Return the plays that a role's README shows."""
    blocks = re.findall(
        r"^```yaml\n(- .*?)^```", (ROLES / role / "README.md").read_text(), re.DOTALL | re.MULTILINE
    )
    return [play for block in blocks for play in yaml.safe_load(block)]


@pytest.mark.parametrize("role", NAMES)
def test_an_example_gives_what_is_required_and_nothing_unknown(role: str) -> None:
    plays = examples(role)
    assert plays
    for play in plays:
        given = {**play.get("vars", {})}
        calls = [(name.removeprefix(PREFIX), "main") for name in play.get("roles", [])]
        for task in play.get("tasks", []):
            arguments = task["ansible.builtin.import_role"]
            calls.append((arguments["name"].removeprefix(PREFIX), arguments.get("tasks_from", "main")))
            given |= task.get("vars", {})
        assert role in {name for name, _ in calls}
        options = {name: specs(name)[entry]["options"] for name, entry in calls}
        assert given.keys() <= set().union(*options.values())
        for known in options.values():
            assert {name for name, option in known.items() if option.get("required")} <= given.keys()


@pytest.mark.parametrize("role", NAMES)
def test_the_overview_tells_what_must_be_said(role: str) -> None:
    (row,) = (
        line for line in (ROLES / "README.md").read_text().splitlines() if line.startswith(f"| [{role}](")
    )
    required = {name for name, option in specs(role)["main"]["options"].items() if option.get("required")}
    # The service roles hand container its specs.
    assert {name for name in required if f"`{name}`" not in row} <= {"container_specs"}


@pytest.mark.parametrize("role", NAMES)
def test_the_specs_tell_the_defaults(role: str) -> None:
    file = ROLES / role / "defaults/main.yml"
    defaults = yaml.safe_load(file.read_text()) or {}
    told = {name: option for spec in specs(role).values() for name, option in spec["options"].items()}
    assert {
        name: option["default"] for name, option in told.items() if option.get("default") is not None
    } == {name: value for name, value in defaults.items() if "default" in told[name]}


def test_the_recipes_are_those_of_the_gallery() -> None:
    """Its tests bring them up."""
    gallery = ROOT / "tests/foreign/gallery"
    text = (ROLES / "README.md").read_text().partition("## Recipes")[2]
    variables, *tasks = (
        yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    )
    (play,) = yaml.safe_load((gallery / "playbook.yml").read_text())
    tasks = [block for block in tasks if "hosts" not in block[0]]
    assert [task for block in tasks for task in block] == play["tasks"]
    given = yaml.safe_load((gallery / "group_vars/all.yml").read_text())
    # Of its own environment there is more.
    assert "lookup('dashtam.stack.dotenv', playbook_dir ~ '" in variables["app_env"]
    assert "lookup('dashtam.stack.dotenv', playbook_dir ~ '" in given["app_env"]
    del variables["app_env"]
    assert variables.items() <= given.items()
