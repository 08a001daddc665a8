"""A folder that somebody else provisions from: of this repository it has the artefact alone."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.by_path import ROOT
from tests.collection import installed

GUESTBOOK = ROOT / "tests/foreign/guestbook"
GALLERY = ROOT / "tests/foreign/gallery"
ANSIBLE_PLAYBOOK = str(Path(sys.executable).with_name("ansible-playbook"))
INSPECTED = {
    "container": (("ps", "--all", "--quiet"), "{{.Name}} {{.Id}} {{.State.StartedAt}} {{.RestartCount}}"),
    "network": (("network", "ls", "--quiet"), "{{.Name}} {{.Id}} {{.Created}}"),
    "volume": (("volume", "ls", "--quiet"), "{{.Name}} {{.CreatedAt}}"),
}


def docker(*arguments: str) -> str:
    """Return what the docker client prints."""
    run = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def objects(label: str) -> dict[str, str]:
    """Return what carries a label: kind and name, to what changes when somebody touches it."""
    found = {}
    for kind, (listing, told) in INSPECTED.items():
        for identity in docker(*listing, "--filter", f"label={label}").split():
            name, _, state = docker(kind, "inspect", "--format", told, identity).partition(" ")
            found[f"{kind} {name.removeprefix('/')}"] = state
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def changed(output: str) -> int:
    """Return how many tasks changed something, as the recap of a good run says."""
    (count,) = re.findall(
        r"^localhost\s*: ok=\d+\s+changed=(\d+)\s+unreachable=0\s+failed=0\b", output, re.MULTILINE
    )
    return int(count)


@dataclass(frozen=True)
class Site:
    """The folder; its name begins the names of all that is made from it."""

    folder: Path

    @classmethod
    def make(cls, parent: Path, name: str = "", content: Path | None = None) -> Site:
        """Make one, of a name that nobody has."""
        folder = parent / (name or f"foreign-{secrets.token_hex(3)}")
        if content:
            shutil.copytree(content, folder)
        else:
            folder.mkdir()
        (folder / "ansible.cfg").write_text(f"[defaults]\ncollections_path = {installed()}\n")
        shutil.copy(GUESTBOOK / "absent.yml", folder)
        # Under root the container's user is another one, whom files made with umask 077 would shut out.
        subprocess.run(["chmod", "-R", "a+rX", str(folder)], check=True)
        return cls(folder)

    @property
    def name(self) -> str:
        return self.folder.name

    def play(self, playbook: str, *arguments: str, code: int = 0) -> str:
        """Run a playbook with no settings but its own; return what it printed. It must end with that code."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
        run = subprocess.run(
            [ANSIBLE_PLAYBOOK, playbook, *arguments],
            cwd=self.folder,
            env=environment | {"ANSIBLE_NOCOLOR": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert run.returncode == code, run.stdout
        return run.stdout

    def objects(self) -> dict[str, str]:
        return objects(f"container.instance={self.name}")

    def images(self) -> list[str]:
        """Return the names of the images that were made for it."""
        return docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", f"local/{self.name}-*").split()

    def inside(self, service: str, command: str, *arguments: str, user: str = "") -> str:
        """Return what a command prints in a container."""
        return docker("exec", "--user", user, f"{self.name}-{service}", *command.split(), *arguments)

    def remove(self) -> str:
        """Remove all that was made from it, images too."""
        output = self.play("absent.yml")
        assert self.images() == []
        return output
