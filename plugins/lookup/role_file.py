"""Text of a file that a role of this collection has in its folder `files`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = """
name: role_file
short_description: Text of a file in a role's folder C(files)
description:
  - For a role's variables that a playbook uses. There C(role_path) is not defined.
options:
  _terms:
    description: The role and the file's name, such as C(postgres/databases.sql).
    type: list
    elements: str
    required: true
"""

RETURN = """
_raw:
  description: The texts.
  type: list
  elements: str
"""

ROLES = Path(__file__).resolve().parents[2] / "roles"


class LookupModule(LookupBase):
    """Read each file."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """Return the texts; raises AnsibleLookupError where there is no such file."""
        texts = []
        for term in terms:
            role, _, name = term.partition("/")
            path = ROLES / role / "files" / name
            try:
                texts.append(path.read_text(encoding="utf-8"))
            except OSError as error:
                raise AnsibleLookupError(f"{path}: {error.strerror}") from error
        return texts
