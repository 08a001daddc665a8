"""The benchmark's results: computed right, and shown in the README as they are. Nothing is measured here."""

import json
from pathlib import Path

import pytest

from benchmarks import __main__ as benchmark
from benchmarks import readme, results
from benchmarks.commands import Cost
from tests.by_path import ROOT


def row() -> results.Row:
    """Return three rounds, one of them slow, of both sides."""
    made = results.Row("cold", "cold up")
    for ours, compose in ((5.0, 10.0), (50.0, 12.0), (6.0, 11.0)):
        made.add(results.OURS, Cost(wall=ours, cpu=2.0))
        made.add(results.COMPOSE, Cost(wall=compose, cpu=0.1))
    return made


def test_the_readme_shows_the_committed_result() -> None:
    text = readme.README.read_text(encoding="utf-8")
    assert readme.updated(text) == text, "run: .venv/bin/python -m benchmarks.readme"


def test_the_committed_result_is_complete() -> None:
    rows, description = results.load()
    assert set(description) - {"note"} == {"measured", "rounds", "machine"}
    missing = [name for name in benchmark.MEASUREMENTS if not any(one.name.startswith(name) for one in rows)]
    assert not missing
    assert all(len(values) <= description["rounds"] for one in rows for values in one.values.values())


def test_the_committed_result_names_no_path() -> None:
    text = results.LATEST.read_text(encoding="utf-8")
    assert not [part for part in (str(ROOT), str(Path.home()), "/home/", "/root") if part in text]


def test_a_slow_round_does_not_count() -> None:
    assert row().median(results.OURS) == 6.0
    assert row().cpu_median(results.OURS) == 2.0
    assert row().ratio == pytest.approx(6 / 11)


def test_a_row_without_compose_has_no_ratio() -> None:
    alone = results.Row("instances-1", "second run", values={results.OURS: [5.0]})
    assert alone.ratio is None
    assert results.cells(alone) == ("second run", "", "5.0 s", "", "", "")


def test_the_table_has_a_line_for_each_row() -> None:
    lines = results.table([row()]).splitlines()
    assert len(lines) == 3
    assert [cell.strip() for cell in lines[2].strip("|").split("|")] == [
        "cold up",
        "11.0 s",
        "6.0 s",
        "0.55x",
        "0.1 s, 2.0 s",
        "",
    ]


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "results/latest.json"
    results.save(path, [row()], {"rounds": 3})
    assert results.load(path) == ([row()], {"rounds": 3})
    assert json.loads(path.read_text())["measurements"][0]["ratio"] == 0.545


def test_an_unknown_measurement_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["benchmarks", "--only", "cold,warm"])
    with pytest.raises(SystemExit):
        benchmark.arguments()
    assert "no such measurement: warm; choose from cold, second" in capsys.readouterr().err
