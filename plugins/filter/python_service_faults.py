"""What is wrong with the settings of a Python service, told before anything is built or started."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.dashtam.stack.plugins.filter.durations import duration_faults
from ansible_collections.dashtam.stack.plugins.filter.limits import limit_faults
from ansible_collections.dashtam.stack.plugins.module_utils.filter_module import filters

LIMITS = ("memory", "cpus", "pids_limit", "nofile")
SHELLS = {"ash", "bash", "dash", "ksh", "sh", "zsh"}
# What an engine accepts as a volume's name: https://docs.docker.com/reference/cli/docker/volume/create/
VOLUME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
PORT_INSIDE = re.compile(r"([0-9]+)(/(tcp|udp))?")
NUMERIC_USER = re.compile(r"[0-9]+:[0-9]+")


def _script(command: list[str]) -> str | None:
    """Return the script of ``sh -c script``, wherever the shell is in the command."""
    for shell, option, script in zip(command, command[1:], command[2:], strict=False):
        if PurePosixPath(shell).name in SHELLS and re.fullmatch("-[a-z]*c", option):
            return script
    return None


def _reload_faults(settings: dict[str, Any], role: str) -> Iterator[str]:
    if not boolean(settings.get("reload", False), strict=False) or isinstance(settings["command"], str):
        return
    script = _script([str(word) for word in settings["command"]])
    # A shell hands what follows its script on as $0, $1 ..., which only a script that says so passes on.
    if script is not None and "$@" not in script and "$*" not in script:
        argument = settings["reload_argument"]
        yield (
            f"{role}_reload=true has no effect: {role}_command ends in a shell's script, which does not see "
            f"{argument} behind it. Write {argument} into the script and leave {role}_reload off."
        )


def _port_faults(settings: dict[str, Any], role: str) -> Iterator[str]:
    listens = str(settings["port"]) != "0"
    if not listens and not settings["health"]:
        yield (
            f"{role}_port is 0, so nothing tells whether {settings['name']} works. Set {role}_health to a "
            "command that succeeds while it does."
        )
    if not listens and settings["host_port"] is not None:
        yield (
            f"{role}_host_port is set and {role}_port is 0: there is nothing to publish. Set both or none."
        )
    for inside, host in settings.get("more_ports", {}).items():
        found = PORT_INSIDE.fullmatch(str(inside))
        if not found or not str(host).isdecimal() or not all(0 < int(n) < 65536 for n in (found[1], host)):
            yield (
                f"{role}_more_ports has {inside}: {host}. Write the port inside and the port on the host, "
                "such as {9100: 9100} or {'5353/udp': 5353}."
            )


def _data_faults(settings: dict[str, Any], role: str) -> Iterator[str]:
    data = settings.get("data", {})
    for name, target in data.items():
        if not VOLUME.fullmatch(str(name)) or not PurePosixPath(str(target)).is_absolute():
            yield (
                f"{role}_data has {name}: {target}. Write a name and a path inside, such as "
                "{uploads: /srv/uploads}."
            )
    if data and not NUMERIC_USER.fullmatch(str(settings["user"])):
        yield f"{role}_data needs {role}_user as numbers, such as 10001:10001, and it is {settings['user']}."


def python_service_faults(settings: dict[str, Any], role: str) -> list[str]:
    """Return a sentence for each fault that validating types does not find.

    :param settings: as the filter ``python_service`` takes them.
    :param role: the prefix of the variables, to name them.
    """
    faults = []
    if not settings["image"] and not settings["requirements"]:
        faults.append(
            f"There is no image to run {settings['name']}. Set {role}_image to one that is present, "
            f"or {role}_requirements to a file of Python requirements to make one with."
        )
    # Ansible's validation takes a text for a list of one.
    for name in ("command", "health", "ready"):
        if isinstance(settings[name], str):
            faults.append(f"{role}_{name} is text. Make it a list, such as [uvicorn, 'shop:app'].")
    if str(settings["user"]).split(":")[0] in {"0", "root"}:
        faults.append(f"{role}_user={settings['user']} is root. Use another uid, such as 10001:10001.")
    size = settings.get("tmp_size")
    return [
        *faults,
        *_reload_faults(settings, role),
        *_port_faults(settings, role),
        *_data_faults(settings, role),
        *duration_faults({f"{role}_health_interval": settings["health_interval"]}),
        *limit_faults(
            {f"{role}_{name}": settings[name] for name in LIMITS}, {f"{role}_tmp_size": size} if size else {}
        ),
    ]


FilterModule = filters(python_service_faults)
