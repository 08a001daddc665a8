"""How a stage differs from its declaration, by what the Swarm and its module say."""

from typing import Any

import pytest

from tests.by_path import load

drift = load("plugins/filter/swarm_drift.py")

OLD, NEW = "sha256:" + "0" * 64, "sha256:" + "1" * 64
ITEM: dict[str, Any] = {
    "name": "shop-app",
    "image": NEW,
    "labels": {"shop.service": "app", "image": "shop:2"},
    "env": {"LEVEL": "INFO"},
}


def changed(before: dict[str, Any], after: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"item": ITEM, "changed": True, "diff": {"before": before, "after": after}} | more


def service(**more: Any) -> dict[str, Any]:
    plain = {"name": "shop-app", "mode": "replicated", "wanted": 2, "running": 2, "state": "ok"}
    return plain | {"reason": None, "last_error": None} | more


def lines(results: list[dict[str, Any]], found: list[dict[str, Any]] | None = None) -> list[str]:
    told = drift.service_drift(results, found or [])
    return [
        f"{one['object']}: {one['what']}: {one['declared']} / {one['running']}"
        + (f" ({one['note']})" if "note" in one else "")
        for one in told
    ]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({"env": ["LEVEL=DEBUG"]}, {"env": ["LEVEL=INFO"]}, ["env LEVEL: INFO / DEBUG"]),
        ({"env": ["A_TOKEN=hunter2"]}, {"env": []}, ["env A_TOKEN: none / ***"]),
        ({"env": ["URL=http://u:hunter2@x"]}, {"env": []}, ["env URL: none / http://u:***@x"]),
        ({"limit_memory": 333 << 20}, {"limit_memory": 256 << 20}, ["memory limit: 256M / 333M"]),
        ({"limit_cpu": None}, {"limit_cpu": 1.0}, ["cpu limit: 1 / none"]),
        ({"replicas": 5}, {"replicas": 2}, ["replicas: 2 / 5"]),
        (
            {"image": OLD, "labels": {"shop.service": "app", "image": "shop:1"}},
            {"image": NEW, "labels": ITEM["labels"]},
            ["image: shop:2 (111111111111) / shop:1 (000000000000)"],
        ),
        ({"image": "else:where"}, {"image": NEW}, ["image: shop:2 (111111111111) / else:where"]),
        ({"labels": {"shop.service": "x"}}, {"labels": ITEM["labels"]}, ["label shop.service: app / x"]),
        (
            {"secrets": [{"filename": "KEY", "secret_name": "shop_KEY_v1"}]},
            {"secrets": [{"filename": "KEY", "secret_name": "shop_KEY_v2"}]},
            ["secret KEY: shop_KEY_v2 / shop_KEY_v1"],
        ),
        (
            {"publish": []},
            {"publish": [{"published_port": 443, "target_port": 8443, "protocol": "tcp"}]},
            ["published ports: 443:8443/tcp / none"],
        ),
        ({"args": ["sh", "-c", "a\nb"]}, {"args": ["c"]}, ['command: ["c"] / ["sh", "-c", "a\\nb"]']),
    ],
)
def test_what_differs_is_named(before: dict[str, Any], after: dict[str, Any], said: list[str]) -> None:
    assert lines([changed(before, after)], [service()]) == [f"shop-app: {line}" for line in said]


def test_what_is_as_declared_is_no_drift() -> None:
    assert lines([{"item": ITEM, "changed": False}], [service()]) == []


def test_a_service_that_is_missing_and_one_too_many() -> None:
    assert lines([changed({}, {})], [service(name="shop-old")]) == [
        "shop-app: service: present / missing",
        "shop-old: service: none / present (a run leaves that to you)",
    ]


def test_one_too_many_that_the_next_run_removes() -> None:
    (told,) = drift.service_drift([], [service(name="shop-mail")], ["shop-mail"])
    assert told == {"object": "shop-mail", "what": "service", "declared": "none", "running": "present"}


def test_a_task_that_does_not_run() -> None:
    stopped = service(
        state="waiting", running=1, reason="1 of 2 tasks run: pending", last_error="no suitable node"
    )
    (line,) = lines([{"item": ITEM, "changed": False}], [stopped])
    assert line.startswith(
        "shop-app: tasks: 2 running / 1 of 2 tasks run: pending: no suitable node (the Swarm"
    )


def test_the_swarm_s_own() -> None:
    found = {"hostname": "one", "labels": {"other": "1"}, "networks": ["bridge"]}
    told = drift.swarm_drift(found, {"data": "true"}, ["bridge", "shop-network"])
    assert [(one["object"], one["what"], one["running"]) for one in told] == [
        ("node one", "label data", "none"),
        ("shop-network", "network", "missing"),
    ]
