"""The end of a run's output: a short line for each host."""

from __future__ import annotations

from collections.abc import Iterator

from ansible.executor.stats import AggregateStats

# What Ansible's own recap calls them, in its order, for programs that read it. Skipped tasks concern nobody.
COUNTS = {"ok": "ok", "changed": "changed", "unreachable": "unreachable", "failures": "failed"}
# Said only if there are any.
RARE = {"rescued": "rescued", "ignored": "ignored"}


def hosts(stats: AggregateStats) -> list[str]:
    """Return the hosts that a run was about.

    One that only skipped tasks is left out, such as localhost in a play that looks at the inventory.
    """

    def took_part(host: str) -> bool:
        return any(count for name, count in stats.summarize(host).items() if name != "skipped")

    return sorted(filter(took_part, stats.processed))


def lines(stats: AggregateStats) -> Iterator[tuple[str, bool]]:
    """Yield an empty line, then each host's, and whether the host failed."""
    yield "", False
    for host in hosts(stats):
        counts = stats.summarize(host)
        shown = COUNTS | {name: said for name, said in RARE.items() if counts[name]}
        said = " ".join(f"{said}={counts[name]}" for name, said in shown.items())
        yield f"{host}: {said}", bool(counts["failures"] + counts["unreachable"])
