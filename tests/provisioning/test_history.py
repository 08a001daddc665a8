"""Each run is kept in the history, by real runs of ansible-playbook, and `make history` shows it."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import collection
from tests.by_path import COLLECTIONS, ROOT, load
from tests.provisioning import clean_plan, playbook

run_history = load("plugins/module_utils/run_history.py")
CHANGE = {"name": "Change", "ansible.builtin.set_fact": {"a": 1}, "changed_when": True}
FAIL = {"name": "Fail", "ansible.builtin.fail": {"msg": "no"}}
TOTALS = {"passed": 7, "failed": 1, "skipped": 2}
TESTS = {"name": "Say", "dashtam.stack.say": {"text": "7 passed", "counts": TOTALS}}
RUN = run_history.Run(1.5, 2.5, "ann", "dev", ["dashtam-dev"], 3, "passed", {}, {"dashtam-dev-app": 2.1})


def play(folder: Path, tasks: list[dict[str, Any]], *arguments: str, code: int = 0, **variables: Any) -> str:
    """Run a play of a checkout in the folder; return what it printed."""
    plays = folder / "playbooks"
    if not plays.exists():
        plays.mkdir()
        (plays / "callback_plugins").symlink_to(ROOT / "playbooks/callback_plugins")
    content = {"name": "Play", "hosts": "all", "gather_facts": False, "tasks": tasks, "vars": variables}
    (plays / "shop.yml").write_text(json.dumps([content]))
    # As a person's settings may have it.
    settings = {"ANSIBLE_CALLBACKS_ENABLED": "profile_tasks"}
    process = playbook.start(*playbook.HERE, str(plays / "shop.yml"), *arguments, **settings)
    return playbook.finish(process, code)


def kept(folder: Path) -> list[Any]:
    found: list[Any] = run_history.read(folder / run_history.PLACE)
    return found


def test_a_run_is_kept_with_who_what_how_long_and_what_came_of_it(tmp_path: Path) -> None:
    before = time.time()
    play(tmp_path, [CHANGE, TESTS], concise_label="shop-dev")
    end = {"name": "End", "dashtam.stack.exit_code": {"code": 4}}
    play(tmp_path, [TESTS, end], code=4)
    failed, passed = kept(tmp_path)
    assert (passed.playbook, passed.environments, passed.changed) == ("shop", ["shop-dev"], 1)
    assert (passed.result, passed.tests) == ("passed", TOTALS)
    assert (failed.result, failed.tests, failed.environments) == ("failed", TOTALS, ["localhost"])
    assert before < passed.started < failed.started < time.time()
    assert 0 <= passed.seconds < 30
    assert passed.user == getpass.getuser()
    file = tmp_path / run_history.PLACE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(("arguments", "variables"), [(("--check",), {}), ((), {"history_looks_only": True})])
def test_a_run_that_changes_nothing_by_its_nature_leaves_nothing(
    tmp_path: Path, arguments: tuple[str, ...], variables: dict[str, Any]
) -> None:
    play(tmp_path, [CHANGE], *arguments, **variables)
    assert not (tmp_path / "reports").exists()


def test_a_run_without_a_host_of_an_inventory_leaves_nothing(tmp_path: Path) -> None:
    plays = tmp_path / "playbooks"
    plays.mkdir()
    (plays / "callback_plugins").symlink_to(ROOT / "playbooks/callback_plugins")
    content = {"name": "Guard", "hosts": "all,localhost", "gather_facts": False, "tasks": [FAIL]}
    path = plays / "guard.yml"
    path.write_text(json.dumps([content]))
    (tmp_path / "ansible.cfg").write_text("[defaults]\n")
    playbook.finish(playbook.start(str(path), folder=tmp_path, config=tmp_path), 2)
    assert not (tmp_path / "reports").exists()


def test_a_playbook_in_another_folder_leaves_nothing(tmp_path: Path) -> None:
    """Molecule's are in a folder of the checkout, where git would see a history."""
    (tmp_path / "shop").mkdir()
    play(tmp_path, [CHANGE])
    (tmp_path / "playbooks").rename(tmp_path / "shop/converge")
    playbook.finish(playbook.start(*playbook.HERE, str(tmp_path / "shop/converge/shop.yml")))
    assert len(kept(tmp_path)) == 1
    assert not (tmp_path / "shop/reports").exists()


def test_a_history_that_cannot_be_written_is_a_warning_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / run_history.PLACE
    file.parent.mkdir()
    file.write_text("This is no database, " * 50)
    output = play(tmp_path, [FAIL], code=2)
    assert "This run is not in the history: reports/history.sqlite: file is not a database" in output
    file.unlink()
    run_history.record(file, RUN)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            run_history.record(file, RUN)
        assert time.monotonic() - begun < 1
    assert len(kept(tmp_path)) == 1


def test_a_file_in_the_place_of_the_reports_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("")
    assert "This run is not in the history: reports/history.sqlite: " in play(tmp_path, [CHANGE])


WRITER = """
import sys
from pathlib import Path
sys.path.append(sys.argv[1])
from ansible_collections.dashtam.stack.plugins.module_utils import run_history
run = run_history.Run(1.0, 2.0, sys.argv[3], "dev", [], 0, "passed", {}, {})
for _ in range(25):
    run_history.record(Path(sys.argv[2]), run)
"""


def test_runs_at_once_all_get_in(tmp_path: Path) -> None:
    file = tmp_path / run_history.PLACE
    command = [sys.executable, "-c", WRITER, str(COLLECTIONS), str(file)]
    writers = [subprocess.Popen([*command, f"writer-{number}"]) for number in range(4)]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    users = [run.user for run in run_history.read(file)]
    assert {user: users.count(user) for user in users} == {f"writer-{number}": 25 for number in range(4)}
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_old_runs_go(tmp_path: Path) -> None:
    file = tmp_path / run_history.PLACE
    run_history.record(file, RUN)
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        row = connection.execute("SELECT * FROM runs").fetchone()[1:]
        places = ", ".join("?" * len(row))
        insert = f"INSERT INTO runs ({run_history.COLUMNS}) VALUES ({places})"  # noqa: S608 - names of ours
        connection.execute("BEGIN")
        connection.executemany(insert, [row] * (run_history.KEPT + 500))
        connection.execute("COMMIT")
    for number in range(11):
        run_history.record(file, replace(RUN, changed=number))
    found = run_history.read(file)
    assert len(found) == run_history.KEPT
    assert found[0] == replace(RUN, changed=10)
    assert [run.changed for run in run_history.read(file, 3)] == [10, 9, 8]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = clean_plan.clone(tmp_path_factory.mktemp("history"))
    clean_plan.add_make(folder)
    (folder / ".venv").symlink_to(Path(playbook.COMMAND).parents[1])
    return folder


def make(checkout: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    run = subprocess.run(
        ["make", "--old-file=venv", *arguments],
        cwd=checkout,
        env=collection.outside() | {"PYTHONDONTWRITEBYTECODE": "1", "TZ": "UTC"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == code, run.stdout + run.stderr
    return run


@pytest.mark.skipif(not shutil.which("make"), reason="no make on this machine")
def test_make_history_is_a_table_or_json(checkout: Path) -> None:
    assert make(checkout, "history").stdout.startswith("No run is known yet.")
    assert json.loads(make(checkout, "history", "FORMAT=json").stdout) == []
    assert not (checkout / "reports").exists()
    file = checkout / run_history.PLACE
    run_history.record(file, RUN)
    tested = replace(RUN, playbook="test", seconds=125.2, environments=["a-test", "b-test"], result="failed")
    run_history.record(file, replace(tested, tests=TOTALS))
    lines = [" ".join(line.split()) for line in make(checkout, "history").stdout.splitlines()]
    assert lines == [
        "WHEN WHO RUN ENVIRONMENT TOOK CHANGED RESULT",
        "1970-01-01 00:00 ann test a-test, b-test 2 min 5 s 3 failed: 7 passed, 1 failed, 2 skipped",
        "1970-01-01 00:00 ann dev dashtam-dev 2.5 s 3 passed",
    ]
    (newest,) = json.loads(make(checkout, "history", "FORMAT=json", "COUNT=1").stdout)
    assert (newest["started"], newest["tests"]) == ("1970-01-01T00:00:01Z", TOTALS)
    assert newest["environments"] == ["a-test", "b-test"]
    # Others may not read it, whatever reads it itself.
    assert {stat.S_IMODE(each.stat().st_mode) for each in file.parent.iterdir()} == {0o600}


@pytest.mark.skipif(not shutil.which("make"), reason="no make on this machine")
def test_make_history_says_what_is_wrong_in_a_line(checkout: Path) -> None:
    for wrong in ("COUNT=0", "COUNT=many", "FORMAT=yaml"):
        said = make(checkout, "history", wrong, code=2)
        assert wrong.partition("=")[2] in said.stderr
        assert "Traceback" not in said.stderr
        assert said.stdout == ""
    file = checkout / run_history.PLACE
    for each in file.parent.glob("history.sqlite*"):
        each.unlink()
    file.write_text("This is no database, " * 50)
    (line, _) = make(checkout, "history", code=2).stderr.splitlines()
    assert line.startswith("reports/history.sqlite cannot be read: file is not a database.")
    file.unlink()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else's sudo")
def test_behind_sudo_the_person_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_UID", "1")
    assert run_history.user() == "daemon"
    monkeypatch.setenv("SUDO_UID", "4242")
    assert run_history.user() == "4242"
    os.chown(tmp_path, 4242, 4242)
    run_history.record(tmp_path / run_history.PLACE, RUN)
    assert (tmp_path / run_history.PLACE).stat().st_uid == 4242
