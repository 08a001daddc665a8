"""Describes the machine and the programs that were measured, without saying whose they are."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from typing import Any

from benchmarks.commands import run


def describe(compose: tuple[str, ...]) -> dict[str, Any]:
    """Return cores, memory (MiB), load (runnable processes in the last minute) and versions.

    :param compose: the command that is docker compose.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    return {
        "cores": os.cpu_count(),
        "memory_mib": memory,
        "architecture": platform.machine(),
        "kernel": f"{platform.system()} {platform.release()}",
        "load_before": round(os.getloadavg()[0], 2),
        "engine": run("docker", "version", "--format", "{{.Server.Version}}").strip(),
        "compose": run(*compose, "version", "--short").strip(),
        "python": platform.python_version(),
        "ansible_core": version("ansible-core"),
    }


def sentence(machine: dict[str, Any]) -> str:
    """Return the description as one line for people."""
    return (
        f"{machine['cores']} cores, {machine['memory_mib'] // 1024} GiB of memory, {machine['kernel']}, "
        f"Docker Engine {machine['engine']}, docker compose {machine['compose']}, "
        f"ansible-core {machine['ansible_core']}"
    )
