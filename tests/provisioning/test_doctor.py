"""What `make doctor` says of a machine that cannot be made for a test; tests/drift has the rest."""

from __future__ import annotations

import ast
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from doctor import engine, files, machine
from doctor.declared import Environment
from doctor.findings import Finding, as_lines
from tests.by_path import ROOT, load

GIB = 1024**3
NOW = datetime(2026, 1, 1, tzinfo=UTC)
env_file = load("plugins/action/env_file.py")
ENVIRONMENT = Environment(
    "dev",
    [
        {
            "name": "second-dev-app",
            "labels": {"dashtam.service": "app"},
            "env": {"DEBUG": "true", "LOG_LEVEL": "INFO"},
        }
    ],
)


@pytest.mark.parametrize(("free", "state"), [(20, "ok"), (4, "warn"), (0.5, "fail")])
def test_disk(free: float, state: str) -> None:
    (found,) = machine.disk(Path("/"), "disk", int(free * GIB))
    assert (found.state, found.text) == (state, f"{free:.1f} GiB free in /")


@pytest.mark.parametrize(("available", "state"), [(20, "ok"), (0.5, "warn"), (0.1, "fail")])
def test_memory(tmp_path: Path, available: float, state: str) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text(f"MemTotal: {32 * 1024**2} kB\nMemAvailable: {int(available * 1024**2)} kB\n")
    (found,) = machine.memory(meminfo)
    assert (found.state, found.text) == (state, f"{available:.1f} GiB available of 32.0 GiB")
    assert machine.memory(tmp_path / "none") == []


@pytest.mark.parametrize(("seconds", "state"), [(1, "ok"), (-1, "ok"), (10, "warn"), (-600, "fail")])
def test_clock(seconds: int, state: str) -> None:
    said = (NOW + timedelta(seconds=seconds)).isoformat().replace("+00:00", ".123456789Z")
    assert engine.clock(said, NOW).state == state


@pytest.mark.parametrize(
    ("text", "state", "told"),
    [
        (None, "ok", "is not rendered yet; make dev INSTANCE=second does it"),
        (env_file.compose("rendered", "DEBUG=true\nLOG_LEVEL=INFO"), "ok", "has all 2 variables"),
        (env_file.compose("rendered", "DEBUG=true"), "warn", "is from an earlier run: LOG_LEVEL"),
        (env_file.compose("rendered", "DEBUG=true") + "LOG_LEVEL=INFO\n", "fail", "was edited by hand"),
        ("DEBUG=true\n", "fail", "was edited by hand"),
    ],
)
def test_env_file(tmp_path: Path, text: str | None, state: str, told: str) -> None:
    path = tmp_path / ".env.dev.second"
    if text is not None:
        path.write_text(text)
        path.chmod(0o600)
    (found,) = files.env_file(ENVIRONMENT, tmp_path, "make dev INSTANCE=second")
    assert (found.state, found.text) == (state, f"env/.env.dev.second {told}")
    if state == "ok" and text is not None:
        path.chmod(0o644)
        (found,) = files.env_file(ENVIRONMENT, tmp_path, "make dev")
        assert (found.state, found.remedy) == ("fail", "chmod 600 env/.env.dev.second")


@pytest.mark.parametrize(
    ("data", "container", "state", "told"),
    [
        (True, True, "warn", "data_of_gone: of /gone, which is gone"),
        (False, False, "warn", "data_of_gone: of /gone, which is gone"),
        (False, True, "ok", "/gone: from a container it cannot be seen whether that exists"),
    ],
    ids=["a machine in a container", "macOS", "a dev container"],
)
def test_a_folder_that_cannot_be_seen_is_not_gone(
    tmp_path: Path, data: bool, container: bool, state: str, told: str
) -> None:
    for name, made in (("data", data), ("container", container)):
        if made:
            (tmp_path / name).mkdir()
    labels = {"dashtam.instance": "x", "dashtam.environment": "dev", "dashtam.checkout": "/gone"}
    survey = {"containers": {}, "networks": {}, "volumes": {"data_of_gone": {"Labels": labels}}}
    seen = engine.sees_its_folders(tmp_path / "data", tmp_path / "container")
    (found,) = engine.leftovers(survey, seen)
    assert found.state == state
    assert told in found.text
    assert ("make clean" in found.remedy) is (state == "warn")


def test_a_report_has_a_line_for_each_and_remedies_below() -> None:
    found = [Finding("disk", "ok", "much"), Finding("engine", "fail", "none answers", "make engine")]
    assert as_lines(found).splitlines() == [
        "ok    disk    much",
        "fail  engine  none answers",
        "              -> make engine",
        "",
        "1 ok, 0 warn, 1 fail",
    ]


def test_what_runs_without_venv_imports_nothing_of_it() -> None:
    for name in ("__init__", "__main__", "findings", "machine"):
        tree = ast.parse((ROOT / f"doctor/{name}.py").read_text())
        imported = {
            alias.name.split(".")[0]
            for node in tree.body
            if isinstance(node, ast.Import)
            for alias in node.names
        } | {str(node.module).split(".")[0] for node in tree.body if isinstance(node, ast.ImportFrom)}
        assert imported <= {"doctor", "__future__"} | sys.stdlib_module_names
