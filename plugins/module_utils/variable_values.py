"""What is wrong with the value of a variable."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.dashtam.stack.plugins.module_utils.quantities import in_bytes

INSTANCE = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
INSTANCE_LENGTH = 20
# Python's int() would read 080 and 8_000, too, and each other reader would read something else.
WHOLE_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)")
NUMBER = re.compile(rf"{WHOLE_NUMBER.pattern}(\.[0-9]+)?")
# Ansible would turn each of them into some text without a word.
NOT_TEXT = ((bool, "true or false"), (float, "a number"), (list, "a list"), (Mapping, "a mapping"))


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
    for kind, pattern, example in (("int", WHOLE_NUMBER, "8000"), ("float", NUMBER, "1.5")):
        if (
            option.get("type") == kind
            and isinstance(value, str | int | float)
            and not pattern.fullmatch(str(value))
        ):
            shown = "" if option.get("no_log") else f"is {value!r}; "
            return [f"{shown}write a number such as {example}, in decimal digits alone"]
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
            faults[name] = f"is {port}, which {taken[port]} also has; give one of them another port"
        else:
            taken[port] = name
    return faults


def instance_fault(value: Any) -> str | None:
    """Names of containers, networks and volumes begin with it."""
    if isinstance(value, str) and INSTANCE.fullmatch(value) and len(value) <= INSTANCE_LENGTH:
        return None
    form = "lower-case letters, digits and single hyphens between them, beginning with a letter"
    return f"is {value!r}; use at most {INSTANCE_LENGTH} {form}"


def offset_fault(value: Any) -> str | None:
    """Steps of ten, as an environment's ports differ from another's by their last digit."""
    return None if re.fullmatch("0|[1-9][0-9]*0", str(value)) else f"is {value!r}; it must be 0, 10, 20 ..."
