"""One run at a time changes an environment's containers, and a killed run's worker is waited for."""

from __future__ import annotations

import fcntl
import multiprocessing
import time
from collections.abc import Callable, Iterator
from multiprocessing.context import ForkProcess
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
from ansible import constants

from tests.by_path import load

lock = load("plugins/module_utils/lock.py")
LABELS = {"site.instance": "blue"}


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path / "ansible-local-1"))


def hold(taken: Event, labels: dict[str, str], seconds: float) -> None:
    with lock.exclusive(labels) as turn:
        turn.begin()
        taken.set()
        time.sleep(seconds)


def holder(labels: dict[str, str], seconds: float) -> ForkProcess:
    context = multiprocessing.get_context("fork")
    taken = context.Event()
    process = context.Process(target=hold, args=(taken, labels, seconds))
    process.start()
    assert taken.wait(10)
    return process


def test_each_change_has_a_number() -> None:
    for number in range(3):
        with lock.exclusive(LABELS) as turn:
            assert turn.number == number
            turn.begin()


def test_who_only_looks_is_not_counted() -> None:
    for _ in range(2):
        with lock.exclusive(LABELS) as turn:
            assert turn.number == 0


def test_who_waits_is_told_so_and_sees_that_something_was_changed(capsys: pytest.CaptureFixture[str]) -> None:
    process = holder(LABELS, 1)
    with lock.exclusive(LABELS) as turn:
        assert turn.number == 1
    process.join()
    assert "Another run is changing or testing these containers. Waiting" in capsys.readouterr().err


def test_another_environments_lock_is_another_one(capsys: pytest.CaptureFixture[str]) -> None:
    process = holder({"site.instance": "green"}, 60)
    with lock.exclusive(LABELS) as turn:
        assert turn.number == 0
    process.kill()
    process.join()
    assert "Waiting" not in capsys.readouterr().err


def test_a_killed_holder_frees_it() -> None:
    process = holder(LABELS, 60)
    process.kill()
    process.join()
    with lock.exclusive(LABELS, patience=5) as turn:
        assert turn.number == 1


def test_patience_ends_in_one_line() -> None:
    process = holder(LABELS, 60)
    said = r"^Another run has been changing or testing these .* Nothing was touched\. Wait for it .*\.$"
    with pytest.raises(lock.engine.EngineError, match=said), lock.exclusive(LABELS, patience=0.5):
        pass
    process.kill()
    process.join()


def test_the_lock_file_is_the_users_alone(tmp_path: Path) -> None:
    with lock.exclusive(LABELS):
        (file,) = tmp_path.glob("*.lock")
        with file.open("a") as stream, pytest.raises(BlockingIOError):
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)


def in_a_task(what: Callable[[], None]) -> None:
    """As a task of a run: in a process of its own, whose parent is the run."""
    process = multiprocessing.get_context("fork").Process(target=what)
    process.start()
    process.join(30)
    assert process.exitcode == 0


def change() -> None:
    with lock.exclusive(LABELS, patience=0.5):
        pass


def two_tasks(held: Event) -> None:
    in_a_task(lambda: lock.hold(LABELS))
    in_a_task(change)
    in_a_task(lambda: lock.hold(LABELS, patience=0.5))
    held.set()
    time.sleep(60)


@pytest.fixture
def run() -> Iterator[ForkProcess]:
    """Start a run that holds the lock between its tasks, too, and has changed something."""
    context = multiprocessing.get_context("fork")
    held = context.Event()
    process = context.Process(target=two_tasks, args=(held,))
    process.start()
    assert held.wait(30)
    yield process
    process.kill()
    process.join()


def test_a_run_holds_it_from_task_to_task(run: ForkProcess) -> None:
    with pytest.raises(lock.engine.EngineError, match=f"its process is {run.pid};"):
        change()
    with pytest.raises(lock.engine.EngineError):
        lock.hold(LABELS, patience=0.5)


def test_what_a_task_of_the_run_starts_is_a_part_of_it(
    run: ForkProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(lock.OUTER_RUN, str(run.pid))
    change()
    in_a_task(lambda: lock.hold(LABELS, patience=0.5))
    monkeypatch.setenv(lock.OUTER_RUN, "")
    with pytest.raises(lock.engine.EngineError):
        change()


def test_it_is_free_once_the_run_has_ended_and_what_was_compared_before_is_out_of_date(
    run: ForkProcess,
) -> None:
    run.kill()
    run.join()
    with lock.exclusive(LABELS, patience=5) as turn:
        assert turn.number == 1


def test_a_worker_that_outlives_the_run_that_held_it_is_waited_for() -> None:
    context = multiprocessing.get_context("fork")
    changing = context.Event()

    def a_run() -> None:
        in_a_task(lambda: lock.hold(LABELS))
        context.Process(target=hold, args=(changing, LABELS, 3)).start()
        time.sleep(60)

    process = context.Process(target=a_run)
    process.start()
    assert changing.wait(30)
    process.kill()
    process.join()
    started = time.monotonic()
    with lock.exclusive(LABELS, patience=10) as turn:
        assert turn.number == 2
    assert time.monotonic() - started > 1
