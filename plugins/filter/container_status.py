"""What runs, in lines for people."""

from __future__ import annotations

from typing import Any

from ansible_collections.dashtam.stack.plugins.module_utils.survey import carries

DOCUMENTATION = """
name: container_status_lines
short_description: Show what carries given labels
description: See the functions' docstrings.
"""


def _ports(found: dict[str, Any]) -> str:
    bindings = (found["HostConfig"]["PortBindings"] or {}).values()
    return ", ".join(
        sorted(f"{entry['HostIp']}:{entry['HostPort']}" for entries in bindings for entry in entries or [])
    )


def container_status_lines(survey: dict[str, Any], labels: dict[str, str]) -> list[str]:
    """Return a line for people for each container, network and volume that carries the labels."""
    lines = []
    for name, found in sorted(survey["containers"].items()):
        if carries(found["Config"]["Labels"], labels):
            state = found["State"]
            health = (state.get("Health") or {}).get("Status", "")
            told = (
                f"exited with {state['ExitCode']}"
                if state["Status"] == "exited"
                else f"{state['Status']} {health}".strip()
            )
            lines.append(f"  {name:<28} {told:<20} {_ports(found)}".rstrip())
    for kind in ("networks", "volumes"):
        for name, found in sorted(survey[kind].items()):
            if carries(found["Labels"], labels):
                lines.append(f"  {name:<28} {kind.removesuffix('s')}")
    return lines


def container_age(seconds: int) -> str:
    """Return a duration for people, in the largest unit of which there are two: ``95`` is ``95 s``."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


class FilterModule:
    """Names under which Ansible finds the filters."""

    def filters(self) -> dict[str, Any]:
        """Return filter names and functions."""
        return {
            "container_status_lines": container_status_lines,
            "container_age": container_age,
        }
