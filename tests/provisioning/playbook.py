"""Real runs of ansible-playbook, within the project or of a role that has to do without it."""

import os
import subprocess
import sys
from pathlib import Path

from tests.by_path import COLLECTIONS, ROOT

COMMAND = str(Path(sys.executable).with_name("ansible-playbook"))
HERE = ("-i", "localhost,", "-c", "local")


def start(
    *arguments: str,
    folder: Path = ROOT,
    config: Path = ROOT,
    collections: Path = COLLECTIONS,
    stderr: int = subprocess.STDOUT,
    stdin: int | None = None,
    umask: int = -1,
    **environment: str,
) -> subprocess.Popen[str]:
    """Start ansible-playbook in a folder, with the ansible.cfg and the collections of others."""
    settings = {
        "ANSIBLE_CONFIG": str(config / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(collections),
        "ANSIBLE_NOCOLOR": "1",
    }
    return subprocess.Popen(
        [COMMAND, *arguments],
        cwd=folder,
        env=os.environ | settings | environment,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        umask=umask,
    )


def start_alone(
    folder: Path, play: str, *arguments: str, umask: int = -1, **environment: str
) -> subprocess.Popen[str]:
    """Start a play that has our roles and nothing else of the project, not even its settings."""
    (folder / "play.yml").write_text(play, encoding="utf-8")
    (folder / "ansible.cfg").write_text("[defaults]\n", encoding="utf-8")
    return start(*HERE, "play.yml", *arguments, folder=folder, config=folder, umask=umask, **environment)


def finish(process: subprocess.Popen[str], code: int = 0) -> str:
    """Return all that it printed; it must end with that code."""
    output, _ = process.communicate()
    assert process.returncode == code, output
    return output
