"""The end of a run's output: a line for each host, as Ansible's own callbacks write it."""

from __future__ import annotations

from collections.abc import Iterator

from ansible.executor.stats import AggregateStats
from ansible.utils.color import colorize, hostcolor

# In the order of Ansible's own recap, with the names that it shows.
COUNTS = {"ok": "ok", "changed": "changed", "unreachable": "unreachable", "failures": "failed"}
COUNTS |= {name: name for name in ("skipped", "rescued", "ignored")}


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
        said = " ".join(colorize(shown, counts[name], None) for name, shown in COUNTS.items())
        yield (
            f"{hostcolor(host, counts, False)} : {said}",
            bool(counts["failures"] + counts["unreachable"]),
        )
