"""The playbooks find the collection from anywhere, and its artefact holds what is meant for others."""

import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

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


@pytest.mark.skipif(not shutil.which("make"), reason="no make on this machine")
def test_make_works_in_a_folder_that_everybody_can_write_to(tmp_path: Path) -> None:
    copy = clean_plan.clone(tmp_path)
    shutil.copy(ROOT / "Makefile", copy)
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


def test_the_artefact_holds_roles_and_plugins_alone(tmp_path: Path) -> None:
    with tarfile.open(collection.build(tmp_path)) as archive:
        files = [member.name for member in archive.getmembers() if member.isfile()]
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "roles", "plugins", "meta"],
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
