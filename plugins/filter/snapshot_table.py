"""Snapshots as a table for people."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.common.text.formatters import bytes_to_human
from ansible_collections.dashtam.stack.plugins.filter.container_status import aligned, container_age
from ansible_collections.dashtam.stack.plugins.module_utils.filter_module import filters


def snapshot_table(snapshots: list[dict[str, Any]]) -> list[str]:
    """Return a line for each snapshot (name, age, size, revision, rows), below the columns' titles.

    :param snapshots: what the action ``snapshots`` has listed.
    """
    if not snapshots:
        return []
    rows = [("NAME", "AGE", "SIZE", "REVISION", "ROWS")] + [
        (
            each["name"],
            container_age(each["age"]),
            bytes_to_human(each["size"]),
            each.get("revision") or "-",
            str(each.get("rows", "-")),
        )
        for each in snapshots
    ]
    return aligned(rows)


FilterModule = filters(snapshot_table)
