"""Write docs/variables.md: each variable, its default, and who overrides it in dev, test and ci.

Usage: python docs/variables.py [--check]

Read from the roles' meta/argument_specs.yml, playbooks/environment, the inventories and the committed
examples of the env files.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml
from dotenv import dotenv_values

ROOT = Path(__file__).resolve().parents[1]
PAGE = Path(__file__).with_suffix(".md")
TOGETHER = ROOT / "playbooks/environment/vars/main"
DEFAULTS = ROOT / "playbooks/environment/defaults/main.yml"
ENVIRONMENTS = ("dev", "test", "ci")
LONG = 60

INTRODUCTION = """\
# Variables

<!-- Made by docs/variables.py from the roles' argument_specs, playbooks/environment and the inventories. -->

Later sources win over earlier ones: role default, inventory, `env/local.<environment>.yml`,
`env/local.<environment>.<instance>.yml`, a CI job's process environment, `-e`. The column *here* shows
what [playbooks/environment/vars/main](../playbooks/environment/vars/main) sets: it combines the
roles into Dashtam's environments, in the same way for all of them. It wins over an inventory, so an
inventory that sets such a name is refused. *set* links to a value that is too long for the table. The
README of a role says what its variables mean.
"""
INSIDE = """\
## Inside the app's container

These are the values in the committed `env/.env.*.example`. *own* means that a person can set the
variable under this name in `env/local.<environment>.yml`, or a CI job in its process environment. If
nobody sets them, secrets are generated.
"""


def cell(value: Any) -> str:
    """Return a value as inline code for a table's cell, as YAML and JSON both write it."""
    shown = value if isinstance(value, str) and value else json.dumps(value)
    return f"`{' '.join(shown.split())}`".replace("|", r"\|")


def link(value: Any, path: Path) -> str:
    """Return a value as a link to the file that says it; a long one is to be read there."""
    shown = cell(value)
    return f"[{shown if len(shown) <= LONG else 'set'}](../{path.relative_to(ROOT)})"


def load(path: Path) -> Any:
    """Return a YAML file's content."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def overrides(environment: str) -> dict[str, str]:
    """Return variable to its link for what an environment's inventory sets."""
    path = ROOT / f"inventories/{environment}/group_vars/{environment}.yml"
    return {name: link(value, path) for name, value in load(path).items()}


def options(role: str) -> dict[str, dict[str, Any]]:
    """Return all variables of a role, those of its other entry points after `main`'s."""
    path = ROOT / "roles" / role / "meta/argument_specs.yml"
    specs = load(path)["argument_specs"]
    ordered = [specs["main"], *specs.values()] if "main" in specs else [*specs.values()]
    return {name: option for spec in reversed(ordered) for name, option in spec.get("options", {}).items()}


def rows(head: list[str], body: list[list[str]]) -> list[str]:
    """Return a Markdown table's lines."""
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *body)]


def page() -> str:
    """Return the whole page."""
    places = {path: load(path) for path in sorted(TOGETHER.glob("*.yml"))}
    together = {name: value for values in places.values() for name, value in values.items()}
    here = {name: link(value, path) for path, values in places.items() for name, value in values.items()}
    shared = load(DEFAULTS)
    inventories = {environment: overrides(environment) for environment in ENVIRONMENTS}
    lines = [INTRODUCTION]
    sections = {role: options(role) for role in together["dashtam_roles"]}
    sections["the playbooks themselves"] = together["validate_options"]
    for title, variables in sections.items():
        is_role = title in together["dashtam_roles"]
        lines += [f"## [{title}](../roles/{title}/README.md)" if is_role else f"## {title.capitalize()}", ""]
        body = [
            [
                f"`{name}`",
                "required"
                if option.get("required")
                else cell(option["default"])
                if "default" in option
                else link(shared[name], DEFAULTS)
                if name in shared
                else "",
                here.get(name, ""),
                *(inventories[environment].get(name, "") for environment in ENVIRONMENTS),
            ]
            for name, option in sorted(variables.items())
        ]
        lines += [*rows(["variable", "default", "here", *ENVIRONMENTS], body), ""]
    examples = {name: dotenv_values(ROOT / f"env/.env.{name}.example") for name in ENVIRONMENTS}
    own = set(together["dashtam_value_names"])
    lines.append(INSIDE)
    body = [
        [
            f"`{name}`",
            "own" if name in own else "",
            *(cell(examples[each][name]) if name in examples[each] else "" for each in ENVIRONMENTS),
        ]
        for name in sorted(set().union(*examples.values()) | own)
    ]
    return "\n".join([*lines, *rows(["variable", "", *ENVIRONMENTS], body), ""])


def main(arguments: list[str]) -> str | None:
    """Write the page, or with ``--check`` return what is wrong with the one that is there."""
    text = page()
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text:
        return None
    if "--check" in arguments:
        return f"{PAGE}: not what roles and inventories say; run {sys.executable} {__file__}"
    PAGE.write_text(text, encoding="utf-8")
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
