"""A release image on a real engine: one commit's files over the app image, which has no test packages."""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.by_path import ROOT
from tests.foreign.site import docker
from tests.provisioning import playbook

NAME = f"release-{secrets.token_hex(4)}"
# The app image is the environments' own, so that none is built.
PLAY = f"""
- hosts: localhost
  gather_facts: false
  vars:
    images_prefix: dashtam
    images_requirements: {ROOT}/requirements/app.txt
    images_release_checkout: "{{{{ playbook_dir }}}}/checkout"
    images_release_paths: [src]
    images_release_exclude: [src/fake]
    images_release_name: {NAME}
  tasks:
    - ansible.builtin.import_role: {{name: dashtam.stack.images, tasks_from: release}}
    - ansible.builtin.debug: {{msg: "release={{{{ images_release }}}} of {{{{ images_release_commit }}}}"}}
"""
ABSENT = ("pytest", "schemathesis", "hypothesis", "debugpy", "aiosmtpd", "rich", "src.fake")
ASKED = f"""
import importlib.util, json, os, src.shown
found = [name for name in {ABSENT} if importlib.util.find_spec(name)]
cached = src.shown.__cached__
print(json.dumps([os.getuid(), src.shown.VALUE, cached, os.path.exists(cached), found]))
"""


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Ann", "-c", "user.email=ann@example.org")
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def commit(checkout: Path, value: int) -> str:
    (checkout / "src/shown.py").write_text(f"VALUE = {value}\n")
    git(checkout, "add", "--all")
    git(checkout, "commit", "--quiet", "--message=Next")
    return git(checkout, "rev-parse", "HEAD")


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "checkout"
    (folder / "src/fake").mkdir(parents=True)
    for name in ("src/__init__.py", "src/fake/__init__.py"):
        (folder / name).touch()
    git(tmp_path, "init", "--quiet", "checkout")
    yield folder
    if images := docker("image", "ls", "--quiet", f"dashtam/{NAME}").split():
        docker("image", "rm", "--force", *set(images))


def released(checkout: Path, made: str) -> tuple[str, bool]:
    """Return the image of the commit, and whether it was built; its name must be the commit's."""
    output = playbook.finish(playbook.start_alone(checkout.parent, PLAY))
    image = f"dashtam/{NAME}:{made[:12]}"
    assert f"release={image} of {made}" in output
    return image, "changed=0" not in output


def test_a_commit_is_an_image_that_is_built_once(checkout: Path) -> None:
    first = commit(checkout, 1)
    image, built = released(checkout, first)
    assert built
    config = json.loads(docker("image", "inspect", "--format", "{{json .Config}}", image))
    labels = config["Labels"]
    assert labels["org.opencontainers.image.revision"] == first
    assert labels["org.opencontainers.image.created"] == git(checkout, "show", "--no-patch", "--format=%cI")
    assert labels["org.opencontainers.image.base.name"].startswith("dashtam/app:")
    confined = ("run", "--rm", "--read-only", "--network=none", "--cap-drop=ALL")
    uid, value, cached, compiled, found = json.loads(docker(*confined, image, "python", "-c", ASKED))
    assert (uid, value, compiled, found) == (10001, 1, True, []), cached
    assert released(checkout, first) == (image, False)

    # An uncommitted edit gets into no image, and the next commit into one of its own.
    (checkout / "src/shown.py").write_text("VALUE = 2\n")
    refused = playbook.finish(playbook.start_alone(checkout.parent, PLAY), 2)
    assert f"src/shown.py differ from {first[:12]}" in refused
    second, built = released(checkout, commit(checkout, 2))
    assert built
    assert json.loads(docker(*confined, second, "python", "-c", ASKED))[1] == 2
    assert docker("image", "ls", "--quiet", image)
