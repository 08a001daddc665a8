"""The rules that make a role fit for anybody. Each returns a line for each fault."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2
import yaml

from tests.by_path import environment_variables

# Of the engine's objects each kind has one role that makes it.
MAKERS = {
    "container_apply": "container",
    "docker_container": "no role",
    "docker_volume": "no role",
    "networks": "container",
    "docker_network": "swarm",
    "docker_image": "images",
    "docker_image_build": "images",
    "docker_image_pull": "images",
    "docker_compose_v2": "no role",
    "docker_swarm": "swarm",
    "docker_node": "swarm",
    "docker_swarm_service": "service",
    "docker_secret": "service",
    "docker_config": "no role",
    "docker_stack": "no role",
}
# The same by the engine's SDK or client.
BY_SDK = re.compile(r"(^|\.)(create_container|containers\.(create|run))$")
BY_CLIENT = re.compile(r"\bdocker (container )?(create|run)\b")
# The others ask for a container that never starts, to see whether a folder is visible or whose a volume is.
CREATE_CONTAINERS = {"engine_containers", "engine_status", "engine_volumes"}
# What Ansible gives to everybody; groups, hosts and inventory are not among it.
ANSIBLES = {"ansible_check_mode", "dict", "item", "lookup", "omit", "playbook_dir", "role_path"}
INVENTORY = {"groups", "group_names", "hostvars", "inventory_hostname", "ansible_play_hosts"}
# Says which file and line gives a variable to this host, whatever the groups are called.
READS_GROUPS = {"validate_variables"}
COMMON_WORDS = {"test", "testing", "development", "production"}
COLLECTION = "dashtam.stack"
BARE = {"when", "that", "failed_when", "changed_when", "until"}
TYPES = {"str", "int", "float", "bool", "bytes", "dict", "list", "path"}
JINJA = jinja2.Environment(autoescape=True, extensions=["jinja2.ext.do"])


@dataclass(frozen=True)
class Scalar:
    """A scalar of a YAML file: its value, its line, the keys above it, and whether it is a key itself."""

    value: str
    line: int
    above: tuple[str, ...]
    key: bool
    siblings: frozenset[str]

    @property
    def template(self) -> str:
        return f"{{{{ {self.value} }}}}" if not self.key and BARE & set(self.above[-1:]) else self.value


def scalars(node: yaml.Node | None, above: tuple[str, ...] = ()) -> Iterator[Scalar]:
    """Yield all scalars below a node; the items of a list have the list's own key above them."""
    if isinstance(node, yaml.ScalarNode):
        yield Scalar(node.value, node.start_mark.line + 1, above, False, frozenset())
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from scalars(item, above)
    elif isinstance(node, yaml.MappingNode):
        siblings = frozenset(str(key.value) for key, _ in node.value)
        for key, value in node.value:
            yield Scalar(str(key.value), key.start_mark.line + 1, above, True, siblings)
            yield from scalars(value, (*above, str(key.value)))


def parsed(template: str) -> jinja2.nodes.Template:
    """Return a template's syntax tree."""
    with warnings.catch_warnings():
        # Of a regular expression's backslashes, which Ansible takes as they are.
        warnings.simplefilter("ignore", DeprecationWarning)
        return JINJA.parse(template)


def names_read(template: str) -> set[str]:
    """Return the variables that a template reads and does not set itself."""
    names = list(parsed(template).find_all(jinja2.nodes.Name))
    return {name.name for name in names if name.ctx == "load"} - {
        name.name for name in names if name.ctx != "load"
    }


def texts_in(template: str) -> set[str]:
    """Return the texts that a template's expressions write out."""
    constants = parsed(template).find_all(jinja2.nodes.Const)
    return {constant.value for constant in constants if isinstance(constant.value, str)}


@dataclass(frozen=True)
class Role:
    """One role's files."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def lines(self) -> Iterator[tuple[Path, int, str]]:
        """Every line of every file, with its number."""
        for path in self.files():
            for number, line in enumerate(path.read_text().splitlines(), 1):
                yield path, number, line

    def files(self, *suffixes: str) -> list[Path]:
        """Return its files, those of its tests left out."""
        found = (path for path in self.folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
        return sorted(
            path
            for path in found
            if "molecule" not in path.parts and (not suffixes or path.suffix in suffixes)
        )

    def place(self, path: Path, line: int = 0) -> str:
        return f"{path.relative_to(self.folder.parents[1])}{f':{line}' if line else ''}"

    @cached_property
    def documents(self) -> dict[Path, list[Scalar]]:
        """Its YAML, as Ansible reads it; what only describes is left out."""
        found = {}
        for path in self.files(".yml"):
            if path.parent.name not in ("meta",):
                found[path] = list(scalars(yaml.compose(path.read_text())))
        return found

    @cached_property
    def specs(self) -> dict[str, Any]:
        loaded = yaml.safe_load((self.folder / "meta/argument_specs.yml").read_text())
        specs: dict[str, Any] = loaded["argument_specs"]
        return specs

    @cached_property
    def entry_points(self) -> dict[str, tuple[Path, dict[str, Any]]]:
        """Those that validate their arguments and those that do not, with the files that describe them."""
        validated = self.folder / "meta/argument_specs.yml"
        others = self.folder / "meta/entry_points.yml"
        found = {entry: (validated, spec) for entry, spec in self.specs.items()}
        if others.exists():
            found |= {entry: (others, spec) for entry, spec in yaml.safe_load(others.read_text()).items()}
        return found

    @cached_property
    def options(self) -> dict[str, dict[str, Any]]:
        return {name: option for spec in self.specs.values() for name, option in spec["options"].items()}

    @cached_property
    def tasks(self) -> list[tuple[Path, dict[str, Any]]]:
        """Its tasks, those in blocks too."""

        def flat(tasks: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
            for task in tasks:
                yield task
                for part in ("block", "rescue", "always"):
                    yield from flat(task.get(part, []))

        return [
            (path, task)
            for path in self.files(".yml")
            if path.parent.name == "tasks"
            for task in flat(yaml.safe_load(path.read_text()) or [])
        ]

    @cached_property
    def uses(self) -> set[str]:
        """The roles that it imports, whose interface it therefore knows."""
        calls = (
            task.get(f"ansible.builtin.{how}_role") for _, task in self.tasks for how in ("import", "include")
        )
        return {call["name"].removeprefix(f"{COLLECTION}.") for call in calls if call}

    @cached_property
    def sets(self) -> dict[str, Path]:
        """The variables that it sets, and where."""
        names = dict.fromkeys(self._mapping("vars"), self.folder / "vars/main.yml")
        for path, task in self.tasks:
            own = set(task.get("ansible.builtin.set_fact", {}))
            own |= {
                each for each in (task.get("register"), task.get("loop_control", {}).get("loop_var")) if each
            }
            # Those of a call are the called role's.
            if not {"ansible.builtin.import_role", "ansible.builtin.include_role"} & task.keys():
                own |= set(task.get("vars", {}))
            names |= dict.fromkeys(own, path)
        return names

    @cached_property
    def interface(self) -> set[str]:
        """What others may read of it."""
        return {*self.options, *(name for name in self.sets if not name.startswith("__"))}

    def owns(self, name: str) -> bool:
        return name == f"__{self.name}" or name.startswith((f"{self.name}_", f"__{self.name}_"))

    @cached_property
    def defaults(self) -> dict[str, Any]:
        return self._mapping("defaults")

    def _mapping(self, part: str) -> dict[str, Any]:
        path = self.folder / part / "main.yml"
        return (yaml.safe_load(path.read_text()) or {}) if path.is_file() else {}


def roles(folder: Path) -> list[Role]:
    """Return the roles in a folder."""
    return [Role(path) for path in sorted(folder.iterdir()) if (path / "tasks").is_dir()]


def plugins_serve_everybody(root: Path, environments: set[str]) -> list[str]:
    """No plugin knows an environment or reads the inventory, and none but those named makes containers."""
    faults = []
    for path in sorted((root / "plugins").rglob("*.py")):
        tree = ast.parse(path.read_text())
        # A health check has a key `test`: docker's word.
        of_docker = {
            key
            for node in ast.walk(tree)
            if isinstance(node, ast.Dict)
            and any(isinstance(key, ast.Constant) and key.value == "interval" for key in node.keys)
            for key in node.keys
        }
        for node in ast.walk(tree):
            place = f"{path.relative_to(root)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Constant) and node.value in environments and node not in of_docker:
                faults.append(f"{place}: names the environment {node.value}")
            if isinstance(node, ast.Constant) and node.value in INVENTORY and path.stem not in READS_GROUPS:
                faults.append(f"{place}: reads {node.value} of the inventory")
            by_sdk = isinstance(node, ast.Attribute) and BY_SDK.search(ast.unparse(node))
            if by_sdk and path.stem not in CREATE_CONTAINERS:
                faults.append(f"{place}: {ast.unparse(node)} is for the role container alone")
    return faults


def one_role_makes_each_kind(role: Role) -> list[str]:
    """Only ``container`` creates containers and networks, and in one way."""
    faults = [
        f"{role.place(path)}: calls {module}, which {maker.replace('container', 'only container')} may call"
        for path, task in role.tasks
        for module, maker in MAKERS.items()
        if role.name != maker
        and {module, f"community.docker.{module}", f"{COLLECTION}.{module}"} & task.keys()
    ]
    if role.name == "container":
        return faults
    for path, found in role.documents.items():
        faults += [
            f"{role.place(path, scalar.line)}: {said[0]} is for container alone"
            for scalar in found
            if {"ansible.builtin.command", "ansible.builtin.shell"} & set(scalar.above)
            and (said := BY_CLIENT.search(scalar.value))
        ]
    return faults


def no_environment_is_named(role: Role, names: set[str]) -> list[str]:
    """No role compares with, is keyed by, or speaks of an environment by its name."""
    faults = []
    for path, found in role.documents.items():
        for scalar in found:
            # A health check has a key of this name: docker's word.
            if not (scalar.key and scalar.value == "test" and "interval" in scalar.siblings):
                named = names & {scalar.value, *texts_in(scalar.template)}
                faults += [f"{role.place(path, scalar.line)}: names the environment {name}" for name in named]
    # In prose, "test" and its like are words as any other; neither /dev nor ci- is one.
    spoken = re.compile(rf"(?<![\w/.-])({'|'.join(names - COMMON_WORDS)})(?![\w/-])")
    for path, number, line in role.lines:
        if said := spoken.search(line):
            faults.append(f"{role.place(path, number)}: speaks of the environment {said[0]}")
    return faults


def the_project_is_not_named(role: Role, name: str) -> list[str]:
    """The project's name is in playbooks and inventories, nowhere in a role."""
    return [
        f"{role.place(path, number)}: speaks of {name}; make it a variable of the role"
        for path, number, line in role.lines
        if name in line.lower().replace(COLLECTION, "")
    ]


def reads_its_own_variables_only(role: Role) -> list[str]:
    """Its own, those of roles that it imports, a few of Ansible's: no group, no other host, no playbook's."""
    templates = [(path, 0, path.read_text()) for path in role.files(".j2")]
    for path, found in role.documents.items():
        templates += [(path, scalar.line, scalar.template) for scalar in found]
    specs = role.folder / "meta/argument_specs.yml"
    for scalar in scalars(yaml.compose(specs.read_text())):
        if "default" in scalar.above:
            templates.append((specs, scalar.line, scalar.value))
    known = ANSIBLES.union(*(Role(role.folder.parent / other).interface for other in role.uses))
    faults = [
        f"{role.place(path, line)}: reads {name}, neither its own nor of a role that it imports"
        for path, line, template in templates
        for name in sorted(names_read(template) - known)
        if not role.owns(name)
    ]
    # An aliased part of a file is met more than once.
    return list(dict.fromkeys(faults))


def sets_its_own_variables_only(role: Role) -> list[str]:
    """What it sets begins with its name, or with __ and its name; without __ its README tells of it."""
    readme = (role.folder / "README.md").read_text()
    return [
        f"{role.place(path)}: sets {name}, which does not begin with {role.name}_ or __{role.name}_"
        for name, path in role.sets.items()
        if not role.owns(name)
    ] + [
        f"{role.place(path)}: sets {name}, of which README.md does not tell; begin it with __ or describe it"
        for name, path in role.sets.items()
        if name.startswith(f"{role.name}_") and not re.search(rf"\b{name}\b", readme)
    ]


def every_argument_is_typed_and_described(role: Role) -> list[str]:
    """Each option has a type and a description, each list the type of its elements, each secret no_log."""

    def faults(name: str, option: dict[str, Any]) -> Iterator[str]:
        if option.get("type") not in TYPES:
            yield f"{name} has no type; give it one of {', '.join(sorted(TYPES))}"
        if option.get("type") == "list" and "elements" not in option:
            yield f"{name} is a list of what? Give it elements"
        if not option.get("description"):
            yield f"{name} has no description"
        if re.search("password|secret|token", name) and not option.get("no_log"):
            yield f"{name} is a secret; give it no_log"
        for inner, inside in option.get("options", {}).items():
            yield from faults(f"{name}.{inner}", inside)

    place = role.place(role.folder / "meta/argument_specs.yml")
    return [
        f"{place}: {fault}" for name, option in role.options.items() for fault in faults(name, option)
    ] + [
        f"{role.place(path)}: the entry point {entry} has no short_description"
        for entry, (path, spec) in role.entry_points.items()
        if not spec.get("short_description")
    ]


def its_interface_is_its_own(role: Role) -> list[str]:
    """Arguments begin with the role's name; each is required or has a default, and is read somewhere."""
    place = role.place(role.folder / "meta/argument_specs.yml")
    code = "\n".join(
        path.read_text() for path in role.files() if path.suffix != ".md" and path.parent.name != "meta"
    )
    return (
        [
            f"{role.place(path)}: the entry point {entry} has no file tasks/{entry}.yml"
            for entry, (path, _) in role.entry_points.items()
            if not (role.folder / "tasks" / f"{entry}.yml").is_file()
        ]
        + [
            f"{place}: {name} does not begin with {role.name}_"
            for name in role.options
            if not name.startswith(f"{role.name}_")
        ]
        + [
            f"{place}: {name} is not required and has no default in defaults/main.yml"
            for name, option in role.options.items()
            if not option.get("required") and name not in role.defaults
        ]
        + [
            f"{place}: {name} is read nowhere; remove it"
            for name in role.options
            if len(re.findall(rf"\b{name}\b", code)) <= (name in role.defaults)
        ]
        + [
            f"{role.place(role.folder / 'defaults/main.yml')}: {name} is not in meta/argument_specs.yml"
            for name in role.defaults.keys() - role.options.keys()
        ]
    )


def validation_switched_off(root: Path) -> list[str]:
    """Whether arguments are validated is said where an entry point is described, not where it is called."""
    return [
        f"{path.relative_to(root)}:{number}: rolespec_validate; call an entry point of meta/entry_points.yml"
        for folder in ("playbooks", "roles")
        for path in sorted((root / folder).rglob("*.yml"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if "rolespec_validate" in line
    ]


def variables_nobody_declares(root: Path) -> list[str]:
    """What inventories and playbooks/environment set is a role's argument, or is in validate_options."""
    files = sorted((root / "playbooks/environment/vars/main").glob("*.yml"))
    settings = {path: yaml.safe_load(path.read_text()) for path in files}
    defaults = root / "playbooks/environment/defaults/main.yml"
    declared = {name for role in roles(root / "roles") for name in role.options}
    declared |= environment_variables(root)["validate_options"].keys()
    faults = [
        f"{path.relative_to(root)}: no role declares {name}"
        for path, names in settings.items()
        for name in names.keys() - declared
        if not name.startswith("dashtam_")
    ]
    for path in (defaults, *sorted((root / "inventories").rglob("*.yml"))):
        content = yaml.safe_load(path.read_text())
        if path == defaults or path.parent.name == "group_vars":
            names = set(content)
        else:
            # A file of hosts: what is below a host or `vars`.
            found = scalars(yaml.compose(path.read_text()))
            names = {
                scalar.value
                for scalar in found
                if scalar.key
                and scalar.above
                and ("vars" in scalar.above[-1:] or "hosts" in scalar.above[-2:-1])
            }
        faults += [
            f"{path.relative_to(root)}: no role declares {name}, nor does validate_options"
            for name in sorted(names - declared)
            if not name.startswith("ansible_")
        ]
    return faults
