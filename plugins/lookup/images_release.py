"""What a release of an application is made of: the files of one commit."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = """
name: images_release
short_description: The files of a git checkout that a release holds, and the commit that they are of
description:
  - Fails, in one line, where the checkout has no commit, or a file of it differs from that commit.
options:
  _terms: {description: The checkout., required: true, type: list, elements: path}
  paths: {description: Files and folders that the release holds., type: list, elements: str, required: true}
  exclude: {description: Those among them that it does not hold., type: list, elements: str, default: []}
  inputs: {description: Further files that may not differ from it., type: list, elements: str, default: []}
"""

RETURN = """
_raw:
  description: >-
    One dict: C(commit), the full name; C(created), when it was made, as RFC 3339 has it; C(files), path in
    the checkout to path on this machine.
  type: list
  elements: dict
"""


def git(checkout: Path, *arguments: str) -> str:
    """Return what git prints; raise AnsibleLookupError with its own first line.

    The checkout may be another user's than root's, who builds: git trusts it for this command.
    """
    command = ["git", "-c", f"safe.directory={checkout}", "-C", str(checkout), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - git, with no shell
    except FileNotFoundError:
        raise AnsibleLookupError(
            "A release is named after a commit, and there is no git here. Install git."
        ) from None
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no reason given"])[0]
        raise AnsibleLookupError(
            f"A release is named after a commit, and {checkout} has none: {said}. Use a clone with one."
        )
    return done.stdout


def below(path: str, folders: list[str]) -> bool:
    """Whether a path is one of the folders or files, or in one of them."""
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def release(checkout: Path, paths: list[str], exclude: list[str], inputs: list[str]) -> dict[str, Any]:
    """Return what the release holds, see RETURN."""
    commit, created = git(checkout, "show", "--no-patch", "--format=%H %cI", "HEAD").split()
    status = git(checkout, "status", "--porcelain", "-z", "--no-renames", "--", *paths, *inputs)
    # Two letters, a space and the path: https://git-scm.com/docs/git-status#_pathname_format_notes_and_z
    if changed := [entry[3:] for entry in status.split("\0") if entry]:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise AnsibleLookupError(
            f"A release holds what its commit says, and {changed[0]}{more} differ from {commit[:12]}. "
            "Commit the changes, or put them aside: git stash --include-untracked"
        )
    listed = git(checkout, "ls-files", "-z", "--", *paths).split("\0")
    files = {path: str(checkout / path) for path in sorted(listed) if path and not below(path, exclude)}
    if not files:
        raise AnsibleLookupError(
            f"{', '.join(paths) or 'No path'}: the commit {commit[:12]} has no such file."
        )
    return {"commit": commit, "created": created, "files": files}


class LookupModule(LookupBase):
    """Asks git."""

    def run(
        self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[dict[str, Any]]:
        """Return one dict, see RETURN."""
        self.set_options(var_options=variables, direct=kwargs)
        paths, exclude, inputs = (self.get_option(name) for name in ("paths", "exclude", "inputs"))
        return [release(Path(checkout), paths, exclude, inputs) for checkout in terms]
