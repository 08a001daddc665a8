"""Write each role's entry points and variables, as its meta/ has them, into its README.md.

Ansible validates the arguments of an entry point that is in argument_specs.yml, in a task of its own. The
others are in entry_points.yml, name to `short_description` and `description`; their variables are described
in argument_specs.yml.

Usage: python roles/readme.py [--check]
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROLES = Path(__file__).parent
BEGIN = "<!-- Made by roles/readme.py from the files in meta/; edit those. -->"
END = "<!-- Made until here. -->"


def prose(text: str | list[str]) -> str:
    """Return a description as Markdown that fits into a table's cell."""
    joined = " ".join(" ".join(flat(text)).split())
    return re.sub(r"\b[COV]\(([^)]*)\)", r"`\1`", joined).replace("|", r"\|")


def code(value: Any) -> str:
    """Return a value as inline code, as YAML and JSON both write it."""
    shown = value if isinstance(value, str) and value else json.dumps(value)
    return f"`{shown}`".replace("|", r"\|")


def kind(option: dict[str, Any]) -> str:
    """Return an option's type: its choices, where it has some."""
    if "choices" in option:
        return ", ".join(code(choice) for choice in option["choices"])
    return f"list of {option['elements']}" if "elements" in option else str(option["type"])


def default(option: dict[str, Any]) -> str:
    """Return an option's default, empty if it has none."""
    if option.get("required"):
        return "required"
    return code(option["default"]) if "default" in option else ""


def rows(options: dict[str, Any], prefix: str = "") -> Iterator[list[str]]:
    """Yield each variable's cells, then those of what is inside it."""
    for name, option in options.items():
        yield [f"`{prefix}{name}`", kind(option), default(option), prose(option["description"])]
        inside = f"{prefix}{name}[]." if option["type"] == "list" else f"{prefix}{name}."
        yield from rows(option.get("options", {}), inside)


def flat(text: str | list[str]) -> list[str]:
    """Return a description's paragraphs."""
    return [text] if isinstance(text, str) else text


def users(name: str, specs: dict[str, Any]) -> str:
    """Return which entry points know the variable, in the shorter way, or nothing where all do.

    What entry_points.yml describes may know it, too; so of two equal ways the one that says less.
    """
    knowing = [f"`{entry}`" for entry, spec in specs.items() if name in spec.get("options", {})]
    others = [f"`{entry}`" for entry in specs if f"`{entry}`" not in knowing]
    if not others:
        return ""
    few = f"Only for {', '.join(knowing)}." if len(knowing) < len(others) else f"Not for {', '.join(others)}."
    return f" {few}"


def tables(specs: dict[str, Any], others: dict[str, Any]) -> str:
    """Return the two tables: entry points, unless there is only one, and variables.

    :param specs: entry points whose arguments are validated.
    :param others: the other entry points.
    """
    lines = []
    if len(specs | others) > 1:
        lines += ["| entry point | |", "|---|---|"]
        for entry, spec in (specs | others).items():
            told = [spec["short_description"], *flat(spec.get("description", []))]
            told += ["Ansible does not validate its arguments."] * (entry in others)
            lines.append(f"| `{entry}` | {prose([part.rstrip('.') + '.' for part in told])} |")
        lines.append("")
    lines += ["| variable | type | default | description |", "|---|---|---|---|"]
    options = {name: option for spec in reversed(specs.values()) for name, option in spec["options"].items()}
    ordered = {name: options[name] for spec in specs.values() for name in spec["options"]}
    for name, option in ordered.items():
        first, *inside = rows({name: option})
        lines.append(f"| {' | '.join(first)}{users(name, specs)} |")
        lines += [f"| {' | '.join(cells)} |" for cells in inside]
    return "\n".join(lines)


def written(readme: Path) -> str:
    """Return what the README should be.

    :raises ValueError: it has no place for the tables.
    """
    text = readme.read_text()
    specs = yaml.safe_load((readme.parent / "meta" / "argument_specs.yml").read_text())["argument_specs"]
    more = readme.parent / "meta" / "entry_points.yml"
    others = yaml.safe_load(more.read_text()) if more.exists() else {}
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"{readme}: the tables go between the lines\n{BEGIN}\n{END}")
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{tables(specs, others)}\n{END}{rest.split(END)[1]}"


def main(arguments: list[str]) -> str | None:
    """Write the tables, or with ``--check`` return what is wrong with those that are there."""
    faults = []
    for role in sorted(ROLES.glob("*/meta/argument_specs.yml")):
        readme = role.parents[1] / "README.md"
        try:
            text = written(readme)
        except (OSError, ValueError) as error:
            faults.append(str(error))
            continue
        if text == readme.read_text():
            continue
        if "--check" in arguments:
            faults.append(f"{readme}: not what meta/argument_specs.yml says; run {sys.executable} {__file__}")
        else:
            readme.write_text(text)
    return "\n".join(faults) or None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
