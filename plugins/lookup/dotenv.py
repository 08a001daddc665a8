"""The variables of an existing env file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

try:
    from dotenv.parser import parse_stream
except ImportError as error:
    raise AnsibleLookupError(
        "Reading an env file needs the package python-dotenv: install it with pip."
    ) from error

DOCUMENTATION = """
name: dotenv
short_description: Variables of an existing C(.env) file, as one dict
description:
  - Reads what python-dotenv reads, comments, C(export) and quotes among it, and needs that package.
  - Refuses what readers of such files do not agree on, C(${NAME}) and a name without C(=), and says in which
    line. No message shows a value.
  - Use it as C(app_env), alone or combined with more.
options:
  _terms:
    description: Paths of files; a later one wins.
    type: list
    elements: path
    required: true
"""

EXAMPLES = """
- name: Run an application with the values of its env file
  hosts: localhost
  gather_facts: false
  vars:
    app_env: "{{ lookup('dashtam.stack.dotenv', playbook_dir ~ '/.env') | combine({'DEBUG': 'false'}) }}"
  roles: [dashtam.stack.app]
"""

RETURN = """
_raw:
  description: One dict, names to texts.
  type: list
  elements: dict
"""


def read(path: Path) -> dict[str, str]:
    """Return an env file's variables.

    :raises AnsibleLookupError: it cannot be read, or a line has no one meaning.
    """
    values = {}
    try:
        with path.open(encoding="utf-8") as stream:
            for binding in parse_stream(stream):
                place = f"{path}:{binding.original.line}"
                if binding.error:
                    raise AnsibleLookupError(f"{place}: this is not a line of an env file. Write NAME=value.")
                if binding.key is None:
                    continue
                if binding.value is None:
                    raise AnsibleLookupError(
                        f"{place}: {binding.key} has no =. Write {binding.key}= for an empty value."
                    )
                if "${" in binding.value:
                    raise AnsibleLookupError(
                        f"{place}: {binding.key} refers to another variable with ${{, which not every reader "
                        "replaces. Write its value out."
                    )
                values[binding.key] = binding.value
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise AnsibleLookupError(f"{path} cannot be read: {reason}.") from None
    return values


class LookupModule(LookupBase):
    """Read each file."""

    def run(
        self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[dict[str, str]]:
        """Return one dict; see :func:`read` for the errors."""
        values: dict[str, str] = {}
        for path in terms:
            values |= read(Path(path))
        return [values]
