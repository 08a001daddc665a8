"""What has become of a service of a Swarm, by what its managers say of it and of its tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

GOING_ON = ("updating", "rollback_started")
# https://docs.docker.com/reference/api/engine/ (GET /services, UpdateStatus)
WENT_WRONG = ("paused", "rollback_paused", "rollback_completed")
FAILED = ("failed", "rejected", "orphaned")
# A first task may fail because what it needs is about to start.
TOLERATED = 3


@dataclass(frozen=True)
class Progress:
    """Whether a service is as declared, will never be, or what it still waits for."""

    done: bool = False
    failure: str = ""
    # Whose log says why: a task's id.
    task: str = ""
    waiting: str = ""


def wanted(service: dict[str, Any], tasks: list[dict[str, Any]]) -> int:
    """Return how many tasks a service has once it is as declared."""
    mode = service["Spec"]["Mode"]
    if "Replicated" in mode:
        return int(mode["Replicated"].get("Replicas", 1))
    if "ReplicatedJob" in mode:
        return int(mode["ReplicatedJob"].get("TotalCompletions", 1))
    nodes = {task.get("NodeID") for task in tasks if task["DesiredState"] == "running"}
    return max(1, len(nodes))


def error_of(task: dict[str, Any]) -> str:
    """Return why a task failed, or why it has not started."""
    status = task["Status"]
    return str(status.get("Err") or status.get("Message") or status["State"])


def _last_failed(tasks: list[dict[str, Any]]) -> dict[str, Any] | None:
    failed = [task for task in tasks if task["Status"]["State"] in FAILED]
    return max(failed, key=lambda task: task["Status"]["Timestamp"], default=None)


def _failure(what: str, tasks: list[dict[str, Any]]) -> Progress:
    task = _last_failed(tasks)
    reason = f" Its task's error: {error_of(task)}." if task else ""
    return Progress(failure=what + reason, task=task["ID"] if task else "")


def _job(service: dict[str, Any], tasks: list[dict[str, Any]]) -> Progress:
    iteration = service.get("JobStatus", {}).get("JobIteration", {}).get("Index", 0)
    own = [task for task in tasks if task.get("JobIteration", {}).get("Index", 0) == iteration]
    if sum(task["Status"]["State"] == "complete" for task in own) >= wanted(service, own):
        return Progress(done=True)
    if _last_failed(own):
        return _failure("the job failed.", own)
    return Progress(waiting="; ".join(sorted({error_of(task) for task in own})) or "no task yet")


def progress(service: dict[str, Any], tasks: list[dict[str, Any]], changed: bool) -> Progress:
    """Judge a service.

    :param service: what the engine's API says of it (GET /services/<id>).
    :param tasks: what it says of its tasks (GET /tasks).
    :param changed: whether this run has changed it. Of another change, what came of it is no news.
    """
    if "ReplicatedJob" in service["Spec"]["Mode"]:
        return _job(service, tasks)
    update = service.get("UpdateStatus") or {}
    state = update.get("State", "")
    if state in GOING_ON:
        return Progress(waiting=f"{state}: {update.get('Message', '')}")
    if state in WENT_WRONG and changed:
        back = "the one before is back" if state == "rollback_completed" else "the update is paused"
        said = f"the new version failed, and {back} ({state}: {update.get('Message', 'no reason')})."
        return _failure(said, tasks)
    template = service["Spec"]["TaskTemplate"]["ContainerSpec"]
    present = [task for task in tasks if task["Spec"].get("ContainerSpec") == template]
    up = [
        task for task in present if task["Status"]["State"] == "running" and task["DesiredState"] == "running"
    ]
    number = wanted(service, present)
    if len(up) >= number:
        return Progress(done=True)
    # What failed before the change is no news: a change of the number of tasks leaves them what they are.
    since = service.get("UpdatedAt", "")
    news = [task for task in present if task.get("CreatedAt", "") >= since]
    if changed and not state and sum(task["Status"]["State"] in FAILED for task in news) >= TOLERATED:
        return _failure("its tasks fail again and again.", present)
    open_tasks = [task for task in present if task["DesiredState"] == "running" and task not in up]
    reasons = sorted({error_of(task) for task in open_tasks})
    return Progress(waiting=f"{len(up)} of {number} tasks run{': ' if reasons else ''}{'; '.join(reasons)}")
