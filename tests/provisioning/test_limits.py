"""What a container may use of the machine, validated before an engine is asked."""

from typing import Any

import pytest

from tests.by_path import load

limits = load("plugins/filter/limits.py")


@pytest.mark.parametrize(
    "values",
    [
        {"web_memory": "512M", "web_cpus": 0.5, "web_pids_limit": 16, "web_nofile": 64},
        # From the command line they are texts.
        {"web_memory": "6M", "web_cpus": "2", "web_pids_limit": "100", "web_nofile": "1024"},
        {"web_memory": "0", "web_cpus": 0.0, "web_pids_limit": 0},
        # Not a number at all: the validation of types says so, in its own words.
        {"web_memory": "much", "web_cpus": "many", "web_pids_limit": None},
    ],
)
def test_right_ones(values: dict[str, Any]) -> None:
    assert limits.limit_faults(values) == []


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"web_memory": "5M"}, "web_memory is 5M. It must be at least 6M, or 0 for no limit."),
        ({"web_cpus": 0.001}, "web_cpus is 0.001. It must be at least 0.01, or 0 for no limit."),
        ({"web_cpus": -1}, "web_cpus is -1. It must be at least 0.01, or 0 for no limit."),
        ({"web_pids_limit": "-1"}, "web_pids_limit is -1. It must be at least 16, or 0 for no limit."),
        ({"web_nofile": 0}, "web_nofile is 0. It must be at least 64."),
    ],
)
def test_too_low_ones(values: dict[str, Any], fault: str) -> None:
    assert limits.limit_faults(values) == [fault]


@pytest.mark.parametrize(("memory", "fits"), [("1G", True), ("0", True), ("1023M", False)])
def test_what_is_stored_in_memory_fits(memory: str, fits: bool) -> None:
    told = (
        "web_memory is less than web_size=1G, whose content counts as memory. Raise one or lower the other."
    )
    assert limits.limit_faults({"web_memory": memory}, {"web_size": "1G"}) == [told for _ in [0] if not fits]
