"""Check every variable a person can set, at once, before anything is started.

Ansible validates a role's arguments when the role begins, names no file, and lets a misspelt variable pass
in silence. This action runs in the controller's process, calls no module and no engine, and reports every
fault as one line: which variable, what is wrong with its value, which file and line sets it.

It reads the variable files of the inventories in use (those that apply to the host), the extra files, and
`-e`. Names are compared with the argument_specs of the given roles; values (the host's own, with the extra
files' and `-e` on top) are validated against them. A value that refers to something not known yet is left to
its role. What the playbook's own variable files set, an inventory cannot: Ansible would let it lose in
silence. Inventories in INI format are not searched for names; whole-file vaults neither.
"""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from ansible import constants as C
from ansible.errors import AnsibleError, AnsibleUndefinedVariable
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible.utils.vars import load_extra_vars
from ansible_collections.dashtam.stack.plugins.module_utils.quantities import in_bytes

display = Display()

Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
SUFFIXES = {"", ".yml", ".yaml", ".json"}
INSTANCE = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
INSTANCE_LENGTH = 20
COMMAND_LINE = "-e"

# Ansible would turn each of them into some text without a word.
NOT_TEXT = ((bool, "true or false"), (float, "a number"), (list, "a list"), (Mapping, "a mapping"))

# Equal to no value.
OTHERWISE = object()
# What Ansible itself gives a meaning to.
ANSIBLES_OWN = ("ansible_*",)


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
            f"{short(path)}{line}: not valid YAML; a value with special characters wants quotes"
        )
        return []
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        settings.faults.append(f"{short(path)}: cannot be read as UTF-8 YAML")
        return []
    if root is None or (isinstance(root, yaml.ScalarNode) and not root.value):
        return []
    if not isinstance(root, yaml.MappingNode):
        settings.faults.append(f"{short(path)}:{root.start_mark.line + 1}: want `name: value`, one per line")
        return []
    return root.value


def read_variables(
    path: Path, pairs: Iterable[tuple[yaml.Node, yaml.Node]], settings: Settings, wins: bool = False
) -> None:
    """Note each variable's place; the same name twice in one file loses a value in silence."""
    seen: dict[str, int] = {}
    for key, _ in pairs:
        name, line = str(key.value), key.start_mark.line + 1
        if name in seen:
            settings.faults.append(
                f"{short(path)}:{line}: {name} is set in line {seen[name]} too; keep one of them"
            )
        seen[name] = line
        settings.add(name, f"{short(path)}:{line}", wins)


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


def unknown_names(settings: Settings, declared: Iterable[str], patterns: Iterable[str]) -> list[str]:
    """One line for each place that sets a variable nobody reads."""
    known = set(declared)
    faults = []
    for name, places in settings.places.items():
        if name in known or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
            continue
        hint = nearest(name, known) or "; remove it, or look into the roles' README.md"
        faults += [f"{place}: no role knows a variable {name}{hint}" for place in places]
    return faults


def overridden(settings: Settings, reserved: Iterable[Path]) -> list[str]:
    """One line for each place in an inventory that a variable file of the playbook beats."""
    taken = Settings()
    for path in reserved:
        read_variables(path, mapping(path, taken), taken)
    return taken.faults + [
        f"{place}: {name} has no effect, as {taken.places[name][0]} sets it, which wins over an inventory; "
        "remove it here"
        for name in taken.places.keys() & settings.inventory.keys()
        for place in settings.inventory[name]
    ]


def value_faults(name: str, option: Mapping[str, Any], value: Any) -> list[str]:
    """What is wrong with one value; never the value itself where the option is no_log."""
    if value is None:
        return ["has no value"] if option.get("required") else []
    if option.get("type") == "str":
        for types, kind in NOT_TEXT:
            if isinstance(value, types):
                return [f"must be text, and YAML reads it as {kind}: put it in quotes"]
    if option.get("type") in {"int", "float"} and isinstance(value, bool):
        return [f"must be a number, and is {str(value).lower()}"]
    if option.get("type") == "bytes":
        try:
            in_bytes(value)
        except ValueError as error:
            return [f"has a wrong value: {error}"]
    # Nothing but this option: defaults, other names and "required" have been dealt with.
    spec = {name: {key: part for key, part in option.items() if key not in {"default", "required"}}}
    messages = ArgumentSpecValidator(spec).validate({name: value}).error_messages
    if messages and option.get("no_log"):
        return [f"is not of type {option['type']}"]
    own_name = re.compile(rf"^(argument '{name}'|value of {name}) ")
    return [own_name.sub("", " ".join(message.split())) for message in messages]


def port_faults(ports: Mapping[str, Any]) -> dict[str, str]:
    """Ports out of range, and ports that two variables claim."""
    faults: dict[str, str] = {}
    taken: dict[int, str] = {}
    for name, value in ports.items():
        if value is None:
            continue
        try:
            port = int(value)
        except (TypeError, ValueError):
            continue  # its type has been reported
        if not 1 <= port <= 65535:
            faults[name] = f"is {port}; a port is between 1 and 65535"
        elif port in taken:
            faults[name] = f"is {port}, which {taken[port]} has too; give one of them another port"
        else:
            taken[port] = name
    return faults


def instance_fault(value: Any) -> str | None:
    """Names of containers, networks and volumes begin with it."""
    if isinstance(value, str) and INSTANCE.fullmatch(value) and len(value) <= INSTANCE_LENGTH:
        return None
    form = "lower-case letters, digits and single hyphens between them, beginning with a letter"
    return f"is {value!r}; want at most {INSTANCE_LENGTH} {form}"


def offset_fault(value: Any) -> str | None:
    """Steps of ten, as an environment's ports differ from another's by their last digit."""
    try:
        number = int(str(value))
    except ValueError:
        return f"is {value!r}; want 0, 10, 20 ..."
    return None if number >= 0 and number % 10 == 0 else f"is {number}; want 0, 10, 20 ..."


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


def _names(path: str) -> set[str]:
    """The variables that a file sets at its top level."""
    return {str(key.value) for key, _ in mapping(Path(path), Settings())}


class ActionModule(ActionBase):
    """Fails with one line per fault; see the module's description."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(
            {
                "roles": {"type": "list", "elements": "str", "required": True},
                "roles_path": {"type": "str", "required": True},
                "known": {"type": "list", "elements": "str", "default": []},
                "options": {"type": "dict", "default": {}},
                "files": {"type": "list", "elements": "str", "default": []},
                "reserved": {"type": "list", "elements": "str", "default": []},
                "later": {"type": "list", "elements": "str", "default": []},
                "instance": {"type": "str", "default": ""},
                "port_offset": {"type": "str", "default": ""},
                "ports": {"type": "list", "elements": "str", "default": []},
            }
        )
        task_vars = task_vars or {}
        options = declared_options(Path(args["roles_path"]), args["roles"]) | args["options"]
        files = [path for path in map(Path, args["files"]) if path.is_file()]
        settings = self._settings(task_vars, files)
        faults = settings.faults + unknown_names(
            settings, {*options, *args["known"]}, (*args["known"], *ANSIBLES_OWN)
        )
        faults += sorted(overridden(settings, map(Path, args["reserved"])))
        if not settings.faults:
            faults += self._values(options, settings, files, task_vars, args)
        result["changed"] = False
        if faults:
            # Each line once and as it is; the failure itself would show them escaped, and twice.
            for fault in faults:
                display.display(fault, color=C.COLOR_ERROR)
            count = "1 setting" if len(faults) == 1 else f"{len(faults)} settings"
            result |= {"failed": True, "msg": f"{count} to correct, named above. Nothing was started."}
        return result

    def _settings(self, task_vars: Mapping[str, Any], files: list[Path]) -> Settings:
        settings = Settings()
        for source in task_vars.get("ansible_inventory_sources") or []:
            if Path(source).exists():  # a list of host names is a source, too
                host, groups = task_vars["inventory_hostname"], list(task_vars["group_names"])
                read_inventory(Path(source), host, groups, set(task_vars["groups"]), settings)
        for path in files:
            read_variables(path, mapping(path, settings), settings, wins=True)
        for name in load_extra_vars(self._loader):
            settings.add(str(name), COMMAND_LINE, wins=True)
        return settings

    def _values(
        self,
        options: Mapping[str, Mapping[str, Any]],
        settings: Settings,
        files: list[Path],
        task_vars: Mapping[str, Any],
        args: Mapping[str, Any],
    ) -> list[str]:
        variables = dict(task_vars)
        for path in files:
            variables |= self._loader.load_from_file(str(path), cache="none", trusted_as_template=True) or {}
        variables |= load_extra_vars(self._loader)
        templar = self._templar.copy_with_new_env(available_variables=variables)

        # What a role or the playbook itself says is the project's own, and every value costs a template.
        own = {name for path in args["reserved"] for name in _names(path)} | {
            name
            for name, option in options.items()
            if variables.get(name) == option.get("default", OTHERWISE)
        }
        looked_at = {*args["ports"], args["instance"], args["port_offset"]} | (options.keys() - own)
        values: dict[str, Any] = {}
        faults: dict[str, list[str]] = {}
        for name in (looked_at | settings.places.keys() & options.keys()) & variables.keys():
            try:
                values[name] = templar.template(variables[name])
            except AnsibleUndefinedVariable:
                continue  # made by a later task; its role validates it then
            except AnsibleError as error:
                faults[name] = [f"cannot be worked out: {' '.join(str(error).split())}"]

        for name, option in options.items():
            if name in values:
                faults.setdefault(name, []).extend(value_faults(name, option, values[name]))
            elif name not in variables and option.get("required") and name not in args["later"]:
                faults[name] = ["is required and set nowhere"]
        for name, fault in port_faults({name: values.get(name) for name in args["ports"]}).items():
            faults.setdefault(name, []).append(fault)
        for name, check in ((args["instance"], instance_fault), (args["port_offset"], offset_fault)):
            if name in values and (fault := check(values[name])):
                faults[name] = [fault]
        return [
            f"{settings.blame(name)}: {name} {fault}".removeprefix(": ")
            for name, each in sorted(faults.items())
            for fault in each
        ]
