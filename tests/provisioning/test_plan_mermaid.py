"""The picture of a plan has what is declared, and README and docs show the one of the committed plans."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from docs import picture
from tests.by_path import load

plan_mermaid = load("plugins/filter/plan_mermaid.py").plan_mermaid


def container(alias: str, **more: Any) -> dict[str, Any]:
    spec = {"network": "shop", "aliases": [alias], "env": {}, "published_ports": [], "mounts": []}
    return spec | more


def drawn(internal: bool = False, **containers: dict[str, Any]) -> list[str]:
    plan = {"containers": containers, "networks": {"shop": {"internal": internal}}}
    return [line.strip() for line in plan_mermaid({"any": plan}).splitlines()]


@pytest.mark.parametrize(
    ("url", "spoken"),
    [
        ("postgresql+asyncpg://web:pa%2Fss@db:5432/shop", "postgresql 5432"),
        ("redis://db:6379/0", "redis 6379"),
        ("https://db:9443/v1/token?next=https://web:1", "https 9443"),
    ],
)
def test_a_url_is_a_connection(url: str, spoken: str) -> None:
    lines = drawn(web=container("web", env={"URL": url, "AGAIN": url}), db=container("db"))
    assert [line for line in lines if "-->" in line] == [f'web -->|"{spoken}"| db']


@pytest.mark.parametrize(
    "url", ["https://localhost:8000", "https://web:8000/", "https://elsewhere:5432", "db:5432", ""]
)
def test_what_names_no_other_container_is_no_connection(url: str) -> None:
    lines = drawn(web=container("web", env={"URL": url}), db=container("db"))
    assert not [line for line in lines if "-->" in line]


def test_networks_are_not_crossed() -> None:
    web = container("web", env={"URL": "redis://db:6379/0"})
    assert not [line for line in drawn(web=web, db=container("db", network="other")) if "-->" in line]


def test_ports_volumes_and_closed_networks_are_shown() -> None:
    mounts = [{"type": "volume", "source": "data.1"}, {"type": "tmpfs", "target": "/tmp"}]
    db = container("db", published_ports=["127.0.0.1:5433:5432"], mounts=mounts)
    assert drawn(internal=True, **{"shop-db": db}) == [
        "flowchart LR",
        'machine(["this machine: browser, psql, redis-cli"])',
        'subgraph shop["shop, no route out"]',
        'shop_db["shop-db"]',
        "end",
        'machine -->|"127.0.0.1:5433"| shop_db',
        'shop_db --- data_1[("data.1")]',
    ]


def test_the_pages_show_the_committed_plans() -> None:
    assert picture.main(["--check"]) is None


def test_a_stale_picture_is_named_then_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{picture.BEGIN}stale\n{picture.END}after\n")
    monkeypatch.setattr(picture, "PAGES", [page])
    assert picture.main(["--check"]) == f"{page}: its picture is out of date; run make generate"
    assert picture.main([]) is None
    assert page.read_text() == f"before\n{picture.BEGIN}{picture.picture()}{picture.END}after\n"
    assert picture.main(["--check"]) is None
