"""The collection as an artefact, built and installed as somebody else would do it."""

import atexit
import os
import re
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from tests.by_path import ROOT

ANSIBLE_GALAXY = str(Path(sys.executable).with_name("ansible-galaxy"))


@cache
def make_variables() -> frozenset[str]:
    """Return the names that may be given to make, which takes them from the environment as well."""
    makefiles = (ROOT / "Makefile", *(ROOT / "playbooks").glob("*.mk"), ROOT / "tests/targets.mk")
    text = "".join(path.read_text(encoding="utf-8") for path in makefiles)
    return frozenset(re.findall(r"\$\([^()]*\b([A-Z][A-Z_]+)\)", text))


def outside() -> dict[str, str]:
    """Return the environment without the settings of this project, or of the make that runs the tests."""
    ours = ("ANSIBLE_", "MAKE", "MFLAGS")
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(ours) and name not in make_variables()
    }


def galaxy(folder: Path, *arguments: str) -> None:
    """Run ansible-galaxy's command for collections in a folder; it must succeed."""
    command = [ANSIBLE_GALAXY, "collection", *arguments]
    run = subprocess.run(command, cwd=folder, env=outside(), capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def build(folder: Path) -> Path:
    """Build the artefact into a folder; return its path."""
    galaxy(ROOT, "build", "--output-path", str(folder))
    (artefact,) = folder.glob("dashtam-stack-*.tar.gz")
    return artefact


@cache
def installed() -> Path:
    """Return a folder of collections that has ours, once for all tests; what it needs is in .venv."""
    folder = Path(tempfile.mkdtemp(prefix="dashtam-collection-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    galaxy(folder, "install", str(build(folder)), "--no-deps", "--offline", "--collections-path", str(folder))
    return folder
