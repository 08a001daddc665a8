"""Check every variable a person can set, at once, before anything is started.

Ansible validates a role's arguments when the role begins, names no file, and lets a misspelt variable pass
in silence. This action runs in the controller's process, calls no module and no engine, and reports every
fault as one line: which variable, what is wrong with its value, which file and line sets it.

It reads the variable files of the inventories in use (those that apply to the host), the extra files, and
`-e`. Names are compared with the argument_specs of the given roles; values (the host's own, with the extra
files' and `-e` on top) are validated against them. What the extra files say is text: no template in them is
run. No line shows a secret, or a part of one. A value that refers to something not known yet is left to
its role. What the playbook's own variable files set, an inventory cannot: Ansible would let it lose in
silence. Inventories in INI format are not searched for names; whole-file vaults neither.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from ansible.errors import AnsibleError, AnsibleUndefinedVariable
from ansible.utils.vars import load_extra_vars
from ansible_collections.dashtam.stack.plugins.module_utils.local_action import LocalAction, Problem
from ansible_collections.dashtam.stack.plugins.module_utils.secrets import is_secret, redacted
from ansible_collections.dashtam.stack.plugins.module_utils.variable_places import (
    Settings,
    declared_options,
    mapping,
    nearest,
    read_inventory,
    read_variables,
)
from ansible_collections.dashtam.stack.plugins.module_utils.variable_values import (
    instance_fault,
    offset_fault,
    port_faults,
    value_faults,
)

COMMAND_LINE = "-e"


# Equal to no value.
OTHERWISE = object()
# What Ansible itself gives a meaning to.
ANSIBLES_OWN = ("ansible_*",)


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


def _names(path: str) -> set[str]:
    """The variables that a file sets at its top level."""
    return {str(key.value) for key, _ in mapping(Path(path), Settings())}


class ActionModule(LocalAction):
    """Fails with one line per fault; see the module's description."""

    arguments: ClassVar[Any] = {
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

    def act(self, args: dict[str, Any]) -> dict[str, Any]:
        options = declared_options(Path(args["roles_path"]), args["roles"]) | args["options"]
        files = [path for path in map(Path, args["files"]) if path.is_file()]
        settings = self._settings(files)
        faults = settings.faults + unknown_names(
            settings, {*options, *args["known"]}, (*args["known"], *ANSIBLES_OWN)
        )
        faults += sorted(overridden(settings, map(Path, args["reserved"])))
        if not settings.faults:
            faults += self._values(options, settings, files, args)
        if faults:
            count = "1 setting" if len(faults) == 1 else f"{len(faults)} settings"
            head = f"{count} to correct, named below. Nothing was started."
            raise Problem("\n".join([head, *faults]))
        return {}

    def _settings(self, files: list[Path]) -> Settings:
        settings, task_vars = Settings(), self.task_vars
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
        args: Mapping[str, Any],
    ) -> list[str]:
        variables = dict(self.task_vars)
        for path in files:
            # A person's values are text. Ansible runs no template that it was not told to trust.
            # Of a name in capitals, a container variable, no text counts as not given.
            variables |= {
                name: value
                for name, value in (self._loader.load_from_file(str(path), cache="none") or {}).items()
                if not (str(name).isupper() and value == "")
            }
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
                # The reason may quote the template, and with it a part of a value.
                reason = "" if options.get(name, {}).get("no_log") else f": {' '.join(str(error).split())}"
                faults[name] = [f"cannot be evaluated{reason}"]

        for name, option in options.items():
            if name in values:
                faults.setdefault(name, []).extend(value_faults(name, option, values[name]))
            elif name not in variables and option.get("required") and name not in args["later"]:
                faults[name] = ["is required, but set nowhere"]
        for name, fault in port_faults({name: values.get(name) for name in args["ports"]}).items():
            faults.setdefault(name, []).append(fault)
        for name, check in ((args["instance"], instance_fault), (args["port_offset"], offset_fault)):
            if name in values and (found := check(values[name])):
                faults[name] = [found]
        secrets = {
            f"secret_{name}": value
            for name, value in (variables | values).items()
            if isinstance(value, str) and (is_secret(name) or options.get(name, {}).get("no_log"))
        }
        return [
            redacted(f"{settings.blame(name)}: {name} {fault}".removeprefix(": "), secrets)
            for name, each in sorted(faults.items())
            for fault in each
        ]
