"""What this machine and user allow where an engine has to be installed, started or opened to the user."""

from __future__ import annotations

import getpass
import grp
import os
import platform
import pwd
import shutil
import subprocess
from pathlib import Path
from typing import Any

from ansible import context
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = """
name: engine_host
short_description: System, user and rights of the machine that runs the playbook
description:
  - Reads files and asks C(sudo -n true). Changes nothing.
options:
  group:
    description: The group whose members may use the engine.
    type: str
    default: docker
"""

RETURN = """
_raw:
  description:
    - One dict. C(system) is C(debian) (Debian, Ubuntu and what is like them), C(fedora), C(linux) or
      C(darwin); C(systemd) whether that runs the services.
    - C(dockerd), C(client) and C(sudo) say whether these programs are installed.
    - C(user) is who runs this, C(member) whether the group's list has them.
    - C(privilege) is C(root), C(sudo) (without a password), C(password) (one was given to Ansible) or
      C(none).
  type: list
  elements: dict
"""

# An ordinary user's PATH may lack the folders that daemons are in.
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])


def system() -> str:
    """Name the family that decides how packages are installed."""
    if platform.system() == "Darwin":
        return "darwin"
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return "linux"
    families = {release.get("ID", ""), *release.get("ID_LIKE", "").split()}
    if families & {"debian", "ubuntu"}:
        return "debian"
    return "fedora" if families & {"fedora", "rhel"} else "linux"


def member(user: str, group: str) -> bool:
    """Say whether a user is on a group's list; a process that is older than the entry may lack it."""
    try:
        entry = grp.getgrnam(group)
    except KeyError:
        return False
    return user in entry.gr_mem or pwd.getpwnam(user).pw_gid == entry.gr_gid


def privilege(variables: dict[str, Any]) -> str:
    """Say how this process could become root."""
    if os.geteuid() == 0:
        return "root"
    if shutil.which("sudo") is None:
        return "none"
    asked = ("become_ask_pass", "become_password_file")
    if any(context.CLIARGS.get(option) for option in asked) or "ansible_become_password" in variables:
        return "password"
    answer = subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False)  # noqa: S607 - sudo as PATH finds it
    return "sudo" if answer.returncode == 0 else "none"


class LookupModule(LookupBase):
    """Collect it."""

    def run(self, terms: list[Any], variables: dict | None = None, **kwargs: Any) -> list[dict[str, Any]]:
        """Return a list with one dict, see RETURN."""
        self.set_options(var_options=variables, direct=kwargs)
        try:
            user = pwd.getpwuid(os.geteuid()).pw_name
        except KeyError:
            user = getpass.getuser()
        return [
            {
                "system": system(),
                "systemd": Path("/run/systemd/system").is_dir(),
                "dockerd": shutil.which("dockerd", path=PATH) is not None,
                "client": shutil.which("docker", path=PATH) is not None,
                "sudo": shutil.which("sudo") is not None,
                "user": user,
                "member": member(user, self.get_option("group")),
                "privilege": privilege(variables or {}),
            }
        ]
