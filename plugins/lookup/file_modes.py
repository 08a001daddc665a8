"""Modes and owners of files on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = """
name: file_modes
short_description: Mode and owner of each file that is there
options:
  _terms:
    description: Paths of files or folders.
    type: list
    elements: str
"""

RETURN = """
_raw:
  description:
    - One dict of path to C(mode) (text, as in C(0600)) and C(uid); a path that is not there has no key.
  type: list
  elements: dict
"""


class LookupModule(LookupBase):
    """Look at each file."""

    def run(self, terms: list[Any], variables: dict | None = None, **kwargs: Any) -> list[dict[str, Any]]:
        """Return one dict, see RETURN; raises AnsibleLookupError where a folder is closed to us."""
        self.set_options(var_options=variables, direct=kwargs)
        found = {}
        for path in (path for term in terms for path in ([term] if isinstance(term, str) else term)):
            try:
                status = Path(path).stat()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise AnsibleLookupError(f"{path}: {error.strerror}") from error
            found[str(path)] = {"mode": f"{status.st_mode & 0o7777:04o}", "uid": status.st_uid}
        return [found]
