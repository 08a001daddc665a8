"""What is declared, for people to read and for files to be compared with."""

from __future__ import annotations

import json
from typing import Any

import yaml
from ansible_collections.dashtam.stack.plugins.module_utils.filter_module import filters
from ansible_collections.dashtam.stack.plugins.module_utils.secrets import is_secret

WIDTH = 150


class Dumper(yaml.SafeDumper):
    """Lists indented below their name, texts of several lines as blocks, short lists in one line."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def represent_text(self, text: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)

    def represent_entries(self, entries: list[Any]) -> yaml.SequenceNode:
        node = self.represent_list(entries)
        words = not any(isinstance(entry, dict | list) for entry in entries)
        node.flow_style = words and sum(map(len, map(str, entries))) < WIDTH / 2
        for entry, said in zip(node.value, entries, strict=True):
            # What is listed and has names (a mount) is read as a row, where it fits into one.
            entry.flow_style = len(str(said)) < WIDTH
        return node


Dumper.add_representer(str, Dumper.represent_text)
Dumper.add_representer(list, Dumper.represent_entries)


def placeholder(name: str, given: bool) -> str:
    """Return what stands for a secret: ``GENERATED-SECRET-KEY``. It needs no quotes, in a URL neither."""
    return f"{'GIVEN' if given else 'GENERATED'}-{name.replace('_', '-')}"


def plan_secrets(names: list[str], given: dict[str, str]) -> dict[str, str]:
    """Return a placeholder for each secret, saying whether a person gives its value or it is generated."""
    return {name: placeholder(name, bool(given.get(name))) for name in names}


def plan_masked(specs: list[dict[str, Any]], secrets: dict[str, str]) -> list[dict[str, Any]]:
    """Return the containers with those secrets masked that come to their variables by another way.

    :param specs: declared containers.
    :param secrets: what :func:`plan_secrets` returned; these placeholders stay.
    """
    return [
        spec
        | {
            "env": {
                name: value
                if not value or value in secrets.values() or not is_secret(name)
                else placeholder(name, given=True)
                for name, value in spec["env"].items()
            }
        }
        for spec in specs
    ]


def plan_named(entries: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return dicts by their ``name``, which is taken out of them."""
    return {entry["name"]: {key: value for key, value in entry.items() if key != "name"} for entry in entries}


def plan_yaml(content: Any) -> str:
    """Return YAML for people, in the order given."""
    # Through JSON, as Ansible's texts and numbers are subclasses of Python's, which PyYAML would refuse.
    plain = json.loads(json.dumps(content))
    text: str = yaml.dump(plain, Dumper=Dumper, sort_keys=False, width=WIDTH, allow_unicode=True)
    return text


FilterModule = filters(plan_secrets, plan_masked, plan_named, plan_yaml)
