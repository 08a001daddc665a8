"""The examples in the roles' READMEs work as they are pasted, in a folder that has nothing but the roles."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.by_path import ROOT
from tests.foreign.site import GUESTBOOK, Site, changed, docker, free_port

SHOP = """
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

app = Starlette(routes=[Route("/", lambda request: PlainTextResponse("good day"))])
"""


def paste(site: Site, role: str, number: int = 0) -> None:
    """Make a play of a role's README, or of all roles' (``.``), the site's playbook."""
    readme = (ROOT / "roles" / role / "README.md").read_text()
    examples = re.findall(r"^```yaml\n(- hosts: .*?)^```", readme, re.DOTALL | re.MULTILINE)
    (site.folder / "playbook.yml").write_text(examples[number])


@pytest.fixture(autouse=True)
def _passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OWNER_PASSWORD", "REDIS_PASSWORD"):
        monkeypatch.setenv(name, "good day")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A folder with the files that the examples speak of."""
    site = Site.make(tmp_path_factory.mktemp("elsewhere"))
    (site.folder / "requirements.txt").write_text((GUESTBOOK / "requirements.txt").read_text())
    (site.folder / "shop").mkdir()
    for name in ("__init__.py", "callback.py"):
        (site.folder / "shop" / name).write_text(SHOP)
    try:
        yield site
    finally:
        site.remove()


@pytest.mark.parametrize(
    "role", ["engine", "validate", "keys", "env_file", "certificates", "network", "redis", "."]
)
def test_as_it_is(shop: Site, role: str) -> None:
    paste(shop, role)
    shop.play("playbook.yml")
    assert changed(shop.play("playbook.yml")) == 0


def test_several_services_at_once(tmp_path: Path) -> None:
    site = Site.make(tmp_path)
    paste(site, ".", 1)
    try:
        site.play("playbook.yml")
        assert changed(site.play("playbook.yml")) == 0
        assert {name.rpartition("-")[2] for name in site.objects()} == {
            "postgres",
            "redis",
            "data",
            "network",
        }
    finally:
        site.remove()


def test_a_database_and_its_backup(shop: Site) -> None:
    paste(shop, "postgres")
    shop.play("playbook.yml")
    database = shop.name.replace("-", "_")
    paste(shop, "backup")
    shop.play("playbook.yml", "-e", f"backup_container={shop.name}-postgres backup_database={database}")
    assert len(list(Path(shop.folder, "backups").glob("*.dump"))) == 1


def test_an_application_and_a_callback_server(shop: Site) -> None:
    for role in ("app", "callback"):
        port = free_port()
        paste(shop, role)
        shop.play("playbook.yml", "-e", f"{role}_host_port={port}")
        assert httpx.get(f"http://127.0.0.1:{port}").text == "good day"
    # Both are made of the same requirements.
    assert len(shop.images()) == 1
    assert docker("exec", f"{shop.name}-callback", "curl", "-s", "http://app:8000/") == "good day"
