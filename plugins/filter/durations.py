"""Durations, validated as docker_container reads them."""

from __future__ import annotations

from typing import Any

from ansible_collections.dashtam.stack.plugins.module_utils.filter_module import filters
from ansible_collections.dashtam.stack.plugins.module_utils.quantities import in_seconds


def duration_faults(values: dict[str, Any]) -> list[str]:
    """Return a sentence for each variable whose value is not a duration.

    :param values: name of the variable to its value, such as ``10s``.
    """
    faults = []
    for name, value in values.items():
        try:
            in_seconds(value)
        except ValueError as error:
            faults.append(f"{name}: {error}")
    return faults


FilterModule = filters(duration_faults)
