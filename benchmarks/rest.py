"""What an environment needs while nobody uses it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import docker

from benchmarks.results import Row
from benchmarks.runs import Bench, report
from benchmarks.sides import Side

NAME = "rest"
# A window holds several probes of every health check.
WINDOW_SECONDS = 60
SETTLE_SECONDS = 15
TICKS = Path("/proc/stat")
NANOSECONDS = 1e9
MIB = 2**20


def _containers(names: Sequence[str]) -> tuple[float, float]:
    """Return the CPU seconds that containers have used and their memory (MiB) without caches."""
    engine = docker.from_env()
    seconds = memory = 0.0
    for name in names:
        stats = engine.api.stats(name, stream=False)
        seconds += stats["cpu_stats"]["cpu_usage"]["total_usage"] / NANOSECONDS
        details = stats["memory_stats"].get("stats", {})
        cache = details.get("inactive_file", details.get("total_inactive_file", 0))
        memory += (stats["memory_stats"]["usage"] - cache) / MIB
    engine.close()
    return seconds, memory


def _machine() -> float | None:
    """Return the CPU seconds that the whole machine has been busy, or None where that is not told."""
    if not TICKS.is_file():
        return None
    user, nice, system, _, _, irq, softirq, steal = map(int, TICKS.read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / 100


def _window(names: Sequence[str]) -> tuple[float, float, float]:
    """Return, over a window, cores used by containers, their memory (MiB), and busy cores of the machine."""
    seconds, _ = _containers(names)
    busy, started = _machine(), time.monotonic()
    time.sleep(WINDOW_SECONDS)
    passed = time.monotonic() - started
    busy_after = _machine()
    seconds_after, memory = _containers(names)
    machine = 0.0 if busy is None or busy_after is None else (busy_after - busy) / passed
    return (seconds_after - seconds) / passed, memory, machine


def _watch(side: Side) -> tuple[float, float, float]:
    side.bring("absent")
    _, _, idle = _window([])
    side.bring("up")
    time.sleep(SETTLE_SECONDS)
    cores, memory, machine = _window(side.containers())
    side.bring("absent")
    return cores, memory, machine - idle


def rest(bench: Bench, names: Sequence[str]) -> list[Row]:
    """Measure one development environment at rest, once per side: a window is long enough for a mean."""
    if NAME not in names:
        return []
    rows = [
        Row(f"{NAME}-memory", "memory of one environment at rest", "MiB"),
        Row(f"{NAME}-cores", "CPU of its containers at rest", "cores"),
    ]
    if TICKS.is_file():
        rows.append(Row(f"{NAME}-machine", "CPU of the machine at rest, engine included", "cores"))
    for side in bench.dev:
        cores, memory, machine = _watch(side)
        report(f"  {side.name} at rest: {memory:.0f} MiB, {cores:.3f} cores, {machine:.3f} of the machine")
        for row, value in zip(rows, (memory, cores, machine), strict=False):
            row.values[side.name] = [round(value, 3)]
    return rows
