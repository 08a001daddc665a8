"""What became of a service, by what the engine's API says."""

from typing import Any

import pytest

from tests.by_path import load

progress = load("plugins/module_utils/service_progress.py").progress
frames = load("plugins/action/service_wait.py").frames

NEW, OLD = {"Image": "new"}, {"Image": "old"}


def service(
    state: str = "", mode: dict[str, Any] | None = None, spec: dict[str, str] | None = None
) -> dict[str, Any]:
    update = {"UpdateStatus": {"State": state, "Message": "as said"}} if state else {}
    return update | {
        "Spec": {
            "Mode": mode or {"Replicated": {"Replicas": 2}},
            "TaskTemplate": {"ContainerSpec": spec or NEW},
        },
        "JobStatus": {"JobIteration": {"Index": 7}},
    }


def task(state: str = "running", spec: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "ID": f"task-{state}",
        "NodeID": more.pop("node", "one"),
        "DesiredState": more.pop("desired", "running"),
        "Spec": {"ContainerSpec": spec or NEW},
        "Status": {"State": state, "Timestamp": "2026-01-01", "Err": more.pop("err", "")},
    } | more


JOB = {"ReplicatedJob": {"TotalCompletions": 1}}
FAILED = {"state": "failed", "desired": "shutdown", "err": "unhealthy container"}


@pytest.mark.parametrize(
    ("found", "tasks"),
    [
        (service(), [task(), task()]),
        (service("completed"), [task(), task(), task("shutdown", OLD, desired="shutdown")]),
        (service(mode={"Global": {}}), [task(), task(node="two")]),
        (service(mode=JOB), [task("complete", JobIteration={"Index": 7})]),
    ],
)
def test_as_declared(found: dict[str, Any], tasks: list[dict[str, Any]]) -> None:
    assert progress(found, tasks, changed=True).done


@pytest.mark.parametrize(
    ("found", "tasks", "said"),
    [
        (service("updating"), [task(), task()], "updating: as said"),
        (service("rollback_started"), [task(), task()], "rollback_started: as said"),
        # The update has not begun: those that run are the old ones.
        (service(), [task(spec=OLD), task(spec=OLD)], "0 of 2 tasks run"),
        (service(), [task(), task("starting", err="")], "1 of 2 tasks run: starting"),
        (service(), [task(), task("pending", err="no suitable node")], "1 of 2 tasks run: no suitable node"),
        (service(mode=JOB), [task("complete", JobIteration={"Index": 6})], "no task yet"),
        (service(mode=JOB), [task("running", JobIteration={"Index": 7})], "running"),
    ],
)
def test_not_yet(found: dict[str, Any], tasks: list[dict[str, Any]], said: str) -> None:
    answer = progress(found, tasks, changed=True)
    assert (answer.done, answer.failure, answer.waiting) == (False, "", said)


@pytest.mark.parametrize("state", ["rollback_completed", "rollback_paused", "paused"])
def test_a_rollback_is_a_failure_with_the_task_s_error(state: str) -> None:
    tasks = [task(spec=OLD), task(spec=OLD), task(spec=NEW, **FAILED)]
    answer = progress(service(state, spec=OLD), tasks, changed=True)
    assert not answer.done
    assert state in answer.failure
    assert "as said" in answer.failure
    assert answer.failure.endswith("Its task's error: unhealthy container.")
    assert answer.task == "task-failed"


def test_a_rollback_of_the_past_is_no_news() -> None:
    tasks = [task(spec=OLD), task(spec=OLD), task(spec=NEW, **FAILED)]
    assert progress(service("rollback_completed", spec=OLD), tasks, changed=False).done


def test_tasks_that_fail_again_and_again() -> None:
    few = [task(**FAILED), task(**FAILED)]
    assert not progress(service(), few, changed=True).failure
    answer = progress(service(), [*few, task(**FAILED)], changed=True)
    assert answer.failure == "its tasks fail again and again. Its task's error: unhealthy container."


def test_a_job_that_failed() -> None:
    failed = task(**FAILED, JobIteration={"Index": 7})
    assert progress(service(mode=JOB), [failed], changed=True).failure.startswith("the job failed.")
    assert not progress(service(mode=JOB), [failed | {"JobIteration": {"Index": 6}}], changed=True).failure


def test_a_log_is_frames() -> None:
    framed = b"".join(
        bytes([1, 0, 0, 0]) + len(text).to_bytes(4) + text for text in (b"first\n", "zwölf\n".encode())
    )
    assert frames(framed) == "first\nzwölf"
    assert frames(b"") == ""


def test_what_failed_before_the_change_is_no_news() -> None:
    old = task(**FAILED, CreatedAt="2026-01-01T00:00:00Z")
    answer = progress(service() | {"UpdatedAt": "2026-01-02T00:00:00Z"}, [old] * 3 + [task()], changed=True)
    assert not answer.failure
    assert answer.waiting == "1 of 2 tasks run"
