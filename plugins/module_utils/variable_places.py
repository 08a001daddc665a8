"""Where a person sets variables: in the files of inventories and beside them, with their lines."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleError
from ansible_collections.dashtam.stack.plugins.module_utils.variable_values import WHOLE_NUMBER

Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
SUFFIXES = {"", ".yml", ".yaml", ".json"}


@dataclass
class Settings:
    """Where each variable is set, and what is wrong with the files themselves."""

    places: dict[str, list[str]] = field(default_factory=dict)
    inventory: dict[str, list[str]] = field(default_factory=dict)
    winners: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def add(self, name: str, place: str, wins: bool = False) -> None:
        """Note a place; it wins over the inventory and over earlier winners where that is certain."""
        self.places.setdefault(name, []).append(place)
        if wins:
            self.winners[name] = place
        else:
            self.inventory.setdefault(name, []).append(place)

    def blame(self, name: str) -> str:
        """The place that gave the value, or the few that may have."""
        return self.winners.get(name) or ", ".join(self.places.get(name, []))


def short(path: Path) -> str:
    """The path as a person would type it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def mapping(path: Path, settings: Settings) -> list[tuple[yaml.Node, yaml.Node]]:
    """The file's top-level pairs. Values are not looked at here, and never shown: they may be secrets."""
    try:
        text = path.read_text(encoding="utf-8")
        root = None if text.startswith("$ANSIBLE_VAULT;") else yaml.compose(text, Loader=Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        settings.faults.append(
            f"{short(path)}{line}: not valid YAML; a value with special characters needs quotes"
        )
        return []
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        settings.faults.append(f"{short(path)}: cannot be read as UTF-8 YAML")
        return []
    if root is None or (isinstance(root, yaml.ScalarNode) and not root.value):
        return []
    if not isinstance(root, yaml.MappingNode):
        settings.faults.append(f"{short(path)}:{root.start_mark.line + 1}: write `name: value`, one per line")
        return []
    pairs: list[tuple[yaml.Node, yaml.Node]] = root.value
    return pairs


def read_variables(
    path: Path, pairs: Iterable[tuple[yaml.Node, yaml.Node]], settings: Settings, wins: bool = False
) -> None:
    """Note each variable's place; the same name twice in one file loses a value in silence."""
    seen: dict[str, int] = {}
    for key, value in pairs:
        name, line = str(key.value), key.start_mark.line + 1
        if name in seen:
            settings.faults.append(
                f"{short(path)}:{line}: {name} is set in line {seen[name]} too; keep one of them"
            )
        seen[name] = line
        if odd_number(value) and not name.isupper():
            settings.faults.append(
                f"{short(path)}:{line}: the number of {name} is not in decimal digits alone; "
                "write 8080 instead of 0x1f90, 8_080 or 017620, or put text in quotes"
            )
        settings.add(name, f"{short(path)}:{line}", wins)


def odd_number(node: yaml.Node) -> bool:
    """Say whether YAML makes a whole number of what does not look like it: 0x1f90, 8_000, 010 or 1:30."""
    return (
        isinstance(node, yaml.ScalarNode)
        and node.tag == "tag:yaml.org,2002:int"
        and not WHOLE_NUMBER.fullmatch(node.value)
    )


def read_hosts(path: Path, pairs: Iterable[tuple[yaml.Node, yaml.Node]], settings: Settings) -> None:
    """The variables inside an inventory file: `vars` of groups and what stands below each host."""

    def pairs_of(node: yaml.Node) -> list[tuple[yaml.Node, yaml.Node]]:
        return node.value if isinstance(node, yaml.MappingNode) else []

    for _, group in pairs:
        for key, content in pairs_of(group):
            if key.value == "vars":
                read_variables(path, pairs_of(content), settings)
            elif key.value == "hosts":
                for _, variables in pairs_of(content):
                    read_variables(path, pairs_of(variables), settings)
            elif key.value == "children":
                read_hosts(path, pairs_of(content), settings)


def variable_files(entry: Path) -> Iterator[Path]:
    """The files that Ansible reads for one entry of group_vars or host_vars."""
    if entry.is_file():
        yield entry
        return
    for path in sorted(entry.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(entry).parts)
        if path.is_file() and path.suffix in SUFFIXES and not hidden and not path.name.endswith("~"):
            yield path


def read_inventory(
    source: Path, host: str, groups: list[str], known_groups: set[str], settings: Settings
) -> None:
    """Note what one inventory source sets for the host, and folders of group_vars that no group reads."""
    folder = source if source.is_dir() else source.parent
    for path in sorted(source.glob("*.y*ml")) if source.is_dir() else [source]:
        if path.suffix in {".yml", ".yaml"}:
            read_hosts(path, mapping(path, settings), settings)
    for kind, mine in (("group_vars", ["all", *groups]), ("host_vars", [host])):
        entries = {
            entry.name.removesuffix(entry.suffix) if entry.is_file() else entry.name: entry
            for entry in sorted((folder / kind).glob("*"))
            if not entry.name.startswith(".") and (entry.is_dir() or entry.suffix in SUFFIXES)
        }
        for name in mine:
            for path in variable_files(entries[name]) if name in entries else ():
                read_variables(path, mapping(path, settings), settings)
        if kind == "group_vars":
            for name in sorted(entries.keys() - known_groups):
                settings.faults.append(
                    f"{short(entries[name])}: there is no group {name}{nearest(name, known_groups)}"
                )


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a sentence that proposes the likeliest name."""
    matches = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    return f"; did you mean {matches[0]}?" if matches else ""


def declared_options(folder: Path, roles: Iterable[str]) -> dict[str, dict[str, Any]]:
    """All options of all entry points; only `main` requires any, as the others are called with arguments."""
    options: dict[str, dict[str, Any]] = {}
    for role in roles:
        path = next((each for each in (folder / role / "meta").glob("argument_specs.y*ml")), None)
        if path is None:
            raise AnsibleError(f"validate_roles: {short(folder / role)} has no meta/argument_specs.yml")
        text = path.read_text(encoding="utf-8")
        specs = yaml.load(text, Loader=Loader)["argument_specs"]  # noqa: S506 - Loader is a safe one
        main = specs.pop("main", {}).get("options") or {}
        for spec in specs.values():
            for name, option in (spec.get("options") or {}).items():
                options[name] = option | {"required": False}
        options |= main
    return options
