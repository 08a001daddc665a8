"""Variables whose names are nearly those of a role's."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import yaml
from ansible.plugins.lookup import LookupBase
from ansible_collections.dashtam.stack.plugins.module_utils.variable_places import Loader, declared_options

DOCUMENTATION = """
name: misspelt_variables
short_description: Say which variables of a play are a role's, misspelt
description:
  - Ansible takes a variable that no role knows for one of the play's own, and the role takes its default. The
    role C(validate) refuses all of them; without it, each service role asks this of itself.
  - Only a name that begins with the role's and is nearly one of its variables counts as misspelt.
options:
  _terms:
    description: Names of roles of this collection.
    type: list
    elements: str
    required: true
"""

RETURN = """
_raw:
  description: A sentence for each of them.
  type: list
  elements: str
"""

ROLES = Path(__file__).resolve().parents[2] / "roles"
# Of the part behind the role's name: two letters swapped in a word of four are as near as that.
NEAR = 0.75


def misspelt(role: str, names: set[str], options: set[str], known: set[str]) -> list[str]:
    """Return a sentence for each of the names that is nearly one of the role's options.

    :param options: the role's variables.
    :param known: what else has a name that begins with the role's, such as the facts that it sets.
    """
    prefix = f"{role}_"
    ends = [option.removeprefix(prefix) for option in options if option.startswith(prefix)]
    told = []
    for name in sorted(name for name in names - options - known if name.startswith(prefix)):
        if near := difflib.get_close_matches(name.removeprefix(prefix), ends, n=1, cutoff=NEAR):
            told.append(
                f"The role {role} has no variable {name}; did you mean {prefix}{near[0]}? "
                f"A variable of your own needs a name that does not begin with {prefix}."
            )
    return told


class LookupModule(LookupBase):
    """Compare names only; no value is looked at."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """Return the sentences."""
        told = []
        for role in terms:
            options = set(declared_options(ROLES, [role]))
            path = ROLES / role / "vars/main.yml"
            own = yaml.load(path.read_text(encoding="utf-8"), Loader=Loader) or {}  # noqa: S506 - a safe one
            known = {*own, f"{role}_container", f"{role}_declaration"}
            told += misspelt(role, set(variables or {}), options, known)
        return told
