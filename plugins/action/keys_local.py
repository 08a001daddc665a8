"""Create a person's own values file once, and read it without ever showing what is in it.

Names in capitals are container variables: their values are taken as they are written (`0123`, `yes` and
`1e5` stay texts). All other names are role variables: their values are YAML.

`more` names a variable that lists files over the first, which are read where they exist. It is resolved with
what the first file sets.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import yaml
from ansible.utils.vars import load_extra_vars
from ansible_collections.dashtam.stack.plugins.module_utils import private_files, variable_facts
from ansible_collections.dashtam.stack.plugins.module_utils.local_action import LocalAction, Problem

CONTAINER_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")
TEMPLATE = re.compile(r"\{\{|\{%")


@dataclass
class Local:
    """What a person wrote: container variables, role variables, and the line of each name."""

    values: dict[str, str] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)

    def under(self, other: Local) -> Local:
        """Return both, where the other's names win."""
        return Local(self.values | other.values, self.variables | other.variables, self.lines | other.lines)


def parse(path: Path, text: str) -> Local:
    """Read the file; a name without a value counts as not given."""
    quote = "a value with special characters needs single quotes around it"
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        # The parser's own words may quote the value: only its place is told.
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}" if mark else ""
        raise Problem(f"{path}{where}: not valid YAML; write NAME: value ({quote})") from None
    except yaml.YAMLError:
        raise Problem(
            f"{path}: contains characters that YAML does not allow; save it again as plain text"
        ) from None
    local = Local()
    if root is None or root.tag == "tag:yaml.org,2002:null":
        return local
    if not isinstance(root, yaml.MappingNode):
        raise Problem(
            f"{path}, line {root.start_mark.line + 1}: write NAME: value, with a space after the colon"
        )
    for key, node in root.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise Problem(f"{path}, line {line}: write NAME: value ({quote})")
        name = key.value
        if name in local.lines:
            raise Problem(
                f"{path}, line {line}: {name} is given in line {local.lines[name]} too; keep one of them"
            )
        local.lines[name] = line
        if CONTAINER_VARIABLE.fullmatch(name):
            if not isinstance(node, yaml.ScalarNode):
                raise Problem(f"{path}, line {line}: {name} needs one text ({quote})")
            if node.value and not (node.tag == "tag:yaml.org,2002:null" and node.style is None):
                local.values[name] = node.value
        else:
            try:
                value = loader.construct_object(node, deep=True)
            except (yaml.YAMLError, ValueError):
                raise Problem(
                    f"{path}, line {line}: the value of {name} is not valid YAML ({quote})"
                ) from None
            if TEMPLATE.search(str(value)):
                raise Problem(
                    f"{path}, line {line}: {name} holds a template, which is not evaluated; write the value"
                )
            local.variables[name] = value
    return local


def create(path: Path, text: str) -> None:
    """Write the file unless it exists: a person's file is never replaced."""
    private_files.make_parents(path.parent)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, private_files.PRIVATE_FILE)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
    private_files.give_to_owner_of(path.parent, path)


class ActionModule(LocalAction):
    """Returns `values`, `variables` and `lines` inside `local`; fails in one line without any value."""

    arguments: ClassVar[Any] = {
        "path": {"type": "str", "required": True},
        "content": {"type": "str", "required": True},
        "more": {"type": "str", "required": True},
        "facts": {"type": "bool", "default": False},
        "over": {"type": "dict", "default": {}},
    }

    def act(self, arguments: dict[str, Any]) -> dict[str, Any]:
        path = Path(arguments["path"])
        try:
            if arguments["facts"] and (refused := variable_facts.refusal()):
                raise Problem(refused)
            missing = not path.exists()
            if missing and not self.dry_run:
                create(path, arguments["content"])
            text = arguments["content"] if missing else path.read_text(encoding="utf-8")
            local = parse(path, text)
            found = [] if missing else [path]
            more = self._more(arguments["more"], local)
            for path in filter(Path.exists, more):
                local = local.under(parse(path, path.read_text(encoding="utf-8")))
                found.append(path)
                if self._more(arguments["more"], local) != more:
                    raise Problem(f"{path}: sets what decides whether this file is read; remove that line")
            loose = [each for each in found if each.stat().st_mode & 0o077]
            for path in [] if self.dry_run else loose:
                path.chmod(0o600)
        except UnicodeDecodeError:
            raise Problem(f"{path}: not UTF-8 text; save it as UTF-8, then run again") from None
        except OSError as error:
            raise Problem(
                f"{path}: {error.strerror}; make it readable and writable for you, then run again"
            ) from None
        facts = local.values | local.variables | arguments["over"] if arguments["facts"] else {}
        return {
            "local": {"values": local.values, "variables": local.variables, "lines": local.lines},
            "created": missing,
            "changed": missing or bool(loose),
            "ansible_facts": facts,
        }

    def _more(self, name: str, local: Local) -> list[Path]:
        """Return the paths that the variable lists, given what was read so far; `-e` wins over that."""
        variables = self.task_vars | local.variables | load_extra_vars(self._loader)
        templar = self._templar.copy_with_new_env(available_variables=variables)
        return [Path(path) for path in templar.resolve_variable_expression(name)]
