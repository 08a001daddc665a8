"""The playbooks find the collection from anywhere, and its artefact holds what is meant for others."""

import json
import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import collection
from tests.by_path import ROOT
from tests.provisioning import clean_plan, playbook


def test_a_playbook_runs_from_another_folder(tmp_path: Path) -> None:
    command = [playbook.COMMAND, "-i", ROOT / "inventories/test", ROOT / "playbooks/plan.yml"]
    run = subprocess.run(
        command, cwd=tmp_path, env=collection.outside(), capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "dashtam-test-postgres" in run.stdout


OTHER_PROJECT = {
    "ANSIBLE_CALLBACKS_ENABLED": "profile_tasks",
    "ANSIBLE_COLLECTIONS_PATH": "/nowhere",
    "ANSIBLE_CONFIG": "/nowhere/ansible.cfg",
    "ANSIBLE_INVENTORY": "/dev/null",
    "ANSIBLE_STDOUT_CALLBACK": "minimal",
    "ANSIBLE_STRATEGY": "free",
    "ANSIBLE_VAULT_PASSWORD_FILE": "/nowhere/password",
    "LANG": "xx_XX.UTF-8",
    "LC_ALL": "C",
    "PYTHONHOME": "/nowhere",
}


def strangers(folder: Path) -> dict[str, str]:
    """Return the environment of a shell that another project has prepared, with its roles and modules."""
    role = folder / "roles/environment/tasks/main.yml"
    role.parent.mkdir(parents=True)
    role.write_text("- ansible.builtin.fail: {msg: another project's role}\n")
    for module in ("yaml", "venv"):
        (folder / f"{module}.py").write_text("raise SystemExit('another project')\n")
    roles = {"ANSIBLE_ROLES_PATH": str(folder / "roles"), "PYTHONPATH": str(folder)}
    return collection.outside() | OTHER_PROJECT | roles


@pytest.mark.skipif(not shutil.which("make"), reason="no make on this machine")
def test_settings_of_other_projects_do_not_change_what_make_runs(tmp_path: Path) -> None:
    run = subprocess.run(
        ["make", "--old-file=venv", "plan", "LIMIT=test", "FORMAT=json"],
        cwd=ROOT,
        env=strangers(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert list(json.loads(run.stdout)) == ["test"]


def test_a_role_of_another_project_does_not_replace_ours(tmp_path: Path) -> None:
    roles = strangers(tmp_path)["ANSIBLE_ROLES_PATH"]
    process = playbook.start("playbooks/plan.yml", "--limit", "test", ANSIBLE_ROLES_PATH=roles)
    assert "dashtam-test-postgres" in playbook.finish(process)


def test_settings_of_other_projects_do_not_get_into_the_virtual_environment(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    (checkout / "requirements").mkdir(parents=True)
    (checkout / "requirements/ops.txt").write_text("# nothing, so that nothing is fetched\n")
    shutil.copy(ROOT / "bootstrap", checkout)
    # What is not found is installed with it.
    (tmp_path / "apt-get").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "apt-get").chmod(0o755)
    pip = {"PIP_CONSTRAINT": "/nowhere/constraints.txt", "PIP_REQUIRE_HASHES": "maybe", "UV_OFFLINE": "maybe"}
    environment = strangers(tmp_path) | pip | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    run = subprocess.run(
        ["./bootstrap"], cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert (checkout / ".venv/made-from").exists()


PLAYBOOKS = {path.name: yaml.safe_load(path.read_text()) for path in (ROOT / "playbooks").glob("*.yml")}
# Those for `localhost` say by themselves what they miss.
ALL_HOSTS = {
    name: plays
    for name, plays in sorted(PLAYBOOKS.items())
    if {play.get("hosts") for play in plays} & {"all", "dev", "disposable", "staging"}
}


def guard(play: dict[str, Any]) -> str:
    """Return what stops a run without hosts: a group's guard, or the playbook that asks for any host."""
    if "ansible.builtin.import_playbook" in play:
        return str(play["ansible.builtin.import_playbook"])
    (task,) = play["tasks"]
    assert (play["hosts"], task["ansible.builtin.import_tasks"]) == ("all,localhost", "tasks/guard.yml")
    assert task.keys() == {"name", "ansible.builtin.import_tasks", "vars"}
    return str(task["vars"]["dashtam_group"])


def test_a_playbook_begins_with_the_guard_of_its_group() -> None:
    guards = {name: guard(plays[0]) for name, plays in ALL_HOSTS.items()}
    assert len(guards) > 30
    wrong = {
        name: stopped
        for name, stopped in guards.items()
        if stopped.replace("inventory.yml", "all") not in [play.get("hosts") for play in ALL_HOSTS[name]]
    }
    assert wrong == {}


@pytest.mark.parametrize("name", {guard(plays[0]): name for name, plays in ALL_HOSTS.items()}.values())
def test_a_playbook_without_hosts_is_no_success(name: str, tmp_path: Path) -> None:
    """One with each of the guards: a run takes seconds."""
    (tmp_path / "ansible.cfg").write_text("[defaults]\n")
    output = playbook.finish(playbook.start(f"playbooks/{name}", config=tmp_path), 2)
    assert re.search(r"the inventory in use (has no hosts|has none of its hosts)", output, re.IGNORECASE)


@pytest.mark.skipif(not shutil.which("make"), reason="no make on this machine")
def test_make_works_in_a_folder_that_everybody_can_write_to(tmp_path: Path) -> None:
    copy = clean_plan.clone(tmp_path)
    clean_plan.add_make(copy)
    (copy / ".venv").symlink_to(Path(playbook.COMMAND).parents[1])
    copy.chmod(0o777)
    run = subprocess.run(
        ["make", "--old-file=venv", "plan", "LIMIT=test"],
        cwd=copy,
        env=collection.outside(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    # Nothing but the answer: the project's own settings count.
    assert run.stdout.startswith("test:\n  containers:\n"), run.stdout


@pytest.mark.skipif(not shutil.which("make"), reason="no make on this machine")
def test_arguments_for_pytest_are_text(tmp_path: Path) -> None:
    copy = clean_plan.clone(tmp_path)
    clean_plan.add_make(copy)
    (copy / ".venv").symlink_to(Path(playbook.COMMAND).parents[1])
    arguments = f'-k \'a{{{{ lookup("ansible.builtin.pipe", "touch {tmp_path}/ran") }}}} \\ b'
    # Nothing before the refusal asks an engine.
    run = subprocess.run(
        ["make", "--old-file=engine", "test", f"ARGS={arguments}"],
        cwd=copy,
        env=collection.outside(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"No closing quotation in the arguments for pytest: {arguments}\n" in run.stdout
    assert run.returncode == 2
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("target", ["test", "ci-test"])
def test_no_arguments_for_pytest_select_all(tmp_path: Path, target: str) -> None:
    copy = clean_plan.clone(tmp_path)
    clean_plan.add_make(copy)
    (copy / ".venv").symlink_to(Path(playbook.COMMAND).parents[1])
    run = subprocess.run(
        ["make", "--old-file=engine", target],
        cwd=copy,
        env=collection.outside() | {"DOCKER_HOST": "unix:///nowhere"},
        capture_output=True,
        text=True,
        check=False,
    )
    # What comes after the arguments were read.
    assert "No Docker engine can be used at DOCKER_HOST=unix:///nowhere" in run.stdout + run.stderr


def test_what_the_caller_gave_to_make_does_not_reach_another_make(monkeypatch: pytest.MonkeyPatch) -> None:
    given = ("INSTANCE", "PORT_OFFSET", "ARGS", "LIMIT", "FORMAT", "SHARD", "ANSIBLE_ARGS", "MAKEFLAGS")
    for name in given:
        monkeypatch.setenv(name, "outer")
    assert not collection.outside().keys() & set(given)
    assert {"PATH", "HOME"} <= collection.outside().keys()


@pytest.mark.skipif(not shutil.which("make"), reason="no make on this machine")
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("~/my dump's.sql", "/home/somebody/my dump"),
        ("/tmp/~/a.sql", "/tmp/~/a.sql"),
        ("~other/a.sql", "FILE=~other/a.sql: only ~/ is expanded. Write the whole path, or ./~other/a.sql"),
    ],
)
@pytest.mark.parametrize("target", ["export", "import", "restore"])
def test_a_home_is_expanded_in_what_make_is_given(target: str, given: str, said: str) -> None:
    run = subprocess.run(
        ["make", "--dry-run", "--old-file=engine", target, "LIMIT=dev", f"FILE={given}"],
        cwd=ROOT,
        env=collection.outside() | {"HOME": "/home/somebody"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said in run.stdout + run.stderr
    assert run.returncode == (2 if given.startswith("~other") else 0)


def test_a_clone_has_line_ends_that_shells_and_containers_read(tmp_path: Path) -> None:
    clone = ["git", "clone", "--quiet", "-c", "core.autocrlf=true", str(ROOT), str(tmp_path / "clone")]
    subprocess.run(clone, check=True)
    listed = subprocess.run(
        ["git", "ls-files", "--eol"], cwd=tmp_path / "clone", capture_output=True, text=True, check=True
    ).stdout
    assert [line for line in listed.splitlines() if "crlf" in line or "mixed" in line] == []


@pytest.mark.skipif(not shutil.which("make"), reason="no make on this machine")
@pytest.mark.parametrize("loss", ["CRLF", "symbolic links", "execute bits"])
def test_what_a_copy_has_lost_is_mended_or_said_in_one_line(loss: str, tmp_path: Path) -> None:
    for name in ("Makefile", "bootstrap", "playbooks/roles/environment"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name, follow_symlinks=False)
    (tmp_path / "playbooks/environment").mkdir()
    # Like requirements without a package, which need no network.
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements/ops.txt").write_text("# nothing\n")
    if loss == "CRLF":
        for path in (tmp_path / "Makefile", tmp_path / "bootstrap"):
            path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    elif loss == "symbolic links":
        (tmp_path / "playbooks/roles/environment").unlink()
        (tmp_path / "playbooks/roles/environment").write_text("../environment")
    elif loss == "execute bits":
        (tmp_path / "bootstrap").chmod(0o644)
    run = subprocess.run(
        ["make", "venv"], cwd=tmp_path, env=collection.outside(), capture_output=True, text=True, check=False
    )
    if loss == "execute bits":
        assert run.returncode == 0, run.stderr
    else:
        first, make = run.stderr.splitlines()
        assert re.search(loss, first, re.IGNORECASE), run.stderr
        assert make.startswith("make: ")


IN_ARTEFACT = ("roles", "plugins", "meta", "LICENSE", "LICENSES", "REUSE.toml", "CHANGELOG.md")


def test_the_artefact_holds_roles_plugins_and_licences_alone(tmp_path: Path) -> None:
    with tarfile.open(collection.build(tmp_path)) as archive:
        files = [member.name for member in archive.getmembers() if member.isfile()]
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *IN_ARTEFACT],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    wanted = {name for name in tracked if "/molecule/" not in name and name != "roles/readme.py"}
    assert set(files) == {*wanted, "MANIFEST.json", "FILES.json"}


def test_a_role_of_the_installed_artefact_runs(tmp_path: Path) -> None:
    play = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.import_role: {name: dashtam.stack.keys}
      vars: {keys_file: FILE, keys_names: {TOKEN: {kind: token}}}
"""
    secrets = tmp_path / "secrets.yml"
    (tmp_path / "play.yml").write_text(play.replace("FILE", str(secrets)))
    run = subprocess.run(
        [playbook.COMMAND, *playbook.HERE, "play.yml"],
        cwd=tmp_path,
        env=collection.outside() | {"ANSIBLE_COLLECTIONS_PATH": str(collection.installed())},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "TOKEN: " in secrets.read_text()


def test_a_virtual_environment_of_another_python_is_made_again(tmp_path: Path) -> None:
    """After an upgrade of the system, or in a container, the same path is that of another Python."""
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements/ops.txt").write_text("# nothing, so that nothing is fetched\n")
    shutil.copy(ROOT / "bootstrap", tmp_path)

    def bootstrap() -> str:
        run = subprocess.run(
            ["./bootstrap"],
            cwd=tmp_path,
            env=collection.outside(),
            capture_output=True,
            text=True,
            check=True,
        )
        return run.stderr

    assert "Making .venv" in bootstrap()
    assert bootstrap() == ""
    (packages,) = (tmp_path / ".venv/lib").glob("python3*")
    packages.rename(packages.with_name("python3.0"))
    assert "Making .venv" in bootstrap()
    assert packages.is_dir()
