"""What an application's variables and logs may hold is no reason for a look to fail."""

from __future__ import annotations

from typing import Any

import pytest

from tests.by_path import load

addresses = load("plugins/module_utils/addresses.py")
evidence = load("plugins/module_utils/evidence.py")
log_error = load("plugins/module_utils/log_error.py")
live_screen = load("plugins/module_utils/live_screen.py")


def container(**variables: str) -> dict[str, Any]:
    return {
        "Config": {"Env": [f"{name}={value}" for name, value in variables.items()]},
        "HostConfig": {"PortBindings": {"6379/tcp": [{"HostIp": "127.0.0.1", "HostPort": "6380"}]}},
        "NetworkSettings": {"Networks": {"web": {"Aliases": ["redis"]}}},
    }


@pytest.mark.parametrize("odd", ["redis://app:p[w@redis:6379", "tcp://redis:99999"])
def test_an_address_that_is_none_is_passed_over(odd: str) -> None:
    beside = [container(URL=odd, REDIS_URL="redis://app:secret@redis:6379/0")]
    assert addresses.tool_url(container(), beside, show=False) == "redis://app@localhost:6380/0"
    assert addresses.tool_url(container(), [container(URL=odd)], show=False) is None


class Engine:
    """An engine whose containers all have this log."""

    def __init__(self, log: str) -> None:
        self.log = log

    def logs(self, *_: str, **__: Any) -> bytes:
        return "".join(f"2026-01-01T00:00:00.5Z {line}\n" for line in self.log.split("\n")).encode()


@pytest.mark.parametrize("odd", ["10 %\r20 % done", "a\x0cb c", "a\u2028b c", "a\x85b c"])
def test_a_line_of_a_log_may_hold_other_line_ends(odd: str) -> None:
    end = log_error.end_of_log(Engine(f"{log_error.HEADER}\nValueError: {odd}"), "web")
    assert end.error == f"ValueError: {odd}"
    assert end.silence > 0


def test_evidence_needs_no_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert evidence._versions(None, tmp_path)["checkout"] is None


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("migrating table", "migrating"),
        ("表を移行しています", "表を移行"),
        ("a🚀🚀🚀🚀🚀", "a🚀🚀🚀🚀"),
        ("short", "short"),
    ],
)
def test_a_line_of_the_screen_fits_whatever_letters_it_has(line: str, shown: str) -> None:
    assert live_screen.cut(line, 9) == shown
