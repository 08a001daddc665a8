"""Another team's application, with a database and a Redis of its own, by these roles as they are.

The judges are an HTTP client, psql, redis-cli and the docker client. The tests go on from each other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from tests.foreign.conftest import Keep
from tests.foreign.site import GUESTBOOK, Site, changed, docker, free_port, objects

FEW_LINES = (
    "- hosts: localhost\n  gather_facts: false\n  vars: {redis_password: neighbour}\n"
    "  roles: [dashtam.stack.redis]\n"
)
SERVICES = ("postgres", "redis", "app")


@pytest.fixture(scope="module")
def developers() -> dict[str, str]:
    """What there is of a developer's environments."""
    return objects("dashtam.instance=dashtam")


@pytest.fixture(scope="module")
def neighbour(tmp_path_factory: pytest.TempPathFactory, developers: dict[str, str]) -> Iterator[Site]:
    """Somebody else's Redis, by a playbook of a few lines, with something in it."""
    site = Site.make(tmp_path_factory.mktemp("elsewhere"))
    (site.folder / "playbook.yml").write_text(FEW_LINES)
    try:
        site.play("playbook.yml")
        assert site.inside("redis", "sh /tmp/redis-admin SET kept yes") == "OK"
        yield site
    finally:
        site.remove()


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def guestbook(
    tmp_path_factory: pytest.TempPathFactory, neighbour: Site, port: int, keep_images: Keep
) -> Iterator[Site]:
    """The guestbook, up beside the neighbour."""
    site = Site.make(tmp_path_factory.mktemp("elsewhere"), content=GUESTBOOK)
    settings = site.folder / "group_vars/all.yml"
    text, count = re.subn("(?m)^app_host_port: .*$", f"app_host_port: {port}", settings.read_text())
    assert count == 1
    settings.write_text(text)
    try:
        assert changed(site.play("playbook.yml")) > 0
        # test_readme_examples.py has the same requirements.
        keep_images(site)
        yield site
    finally:
        site.remove()


@pytest.fixture
def client(port: int) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as opened:
        yield opened


def sql(guestbook: Site, query: str) -> str:
    return guestbook.inside("postgres", "psql -qAtX -U postgres -d visitors -c", query, user="postgres")


def test_its_names_begin_with_its_folder_and_its_labels_are_its_own(guestbook: Site) -> None:
    assert guestbook.objects().keys() == {
        *(f"container {guestbook.name}-{service}" for service in SERVICES),
        f"network {guestbook.name}-network",
        f"volume {guestbook.name}-postgres-data",
        f"volume {guestbook.name}-redis-data",
    }
    (image,) = guestbook.images()
    assert image.startswith(f"local/{guestbook.name}-app:")
    labels = docker("inspect", "--format", "{{json .Config.Labels}}", f"{guestbook.name}-app")
    assert f'"container.checkout":"{guestbook.folder}"' in labels


def test_a_row_is_written_and_read_through_the_application(guestbook: Site, client: httpx.Client) -> None:
    assert client.get("/health").json() == {"status": "ok"}
    assert client.post("/entries", json={"text": "Grüße, 'quoted'"}).status_code == 201
    assert client.get("/entries").json() == {"entries": ["Grüße, 'quoted'"], "readers": 1}
    assert sql(guestbook, "SELECT text FROM entries") == "Grüße, 'quoted'"
    assert guestbook.inside("redis", "sh /tmp/redis-admin GET readers") == "1"


def test_its_servers_are_as_the_roles_make_them(guestbook: Site) -> None:
    assert guestbook.inside("redis", "sh /tmp/redis-admin CONFIG GET appendonly").split() == [
        "appendonly",
        "no",
    ]
    assert sql(guestbook, "SELECT rolsuper FROM pg_roles WHERE rolname = 'keeper'") == "f"
    assert sql(guestbook, "SELECT has_database_privilege('public', 'visitors', 'CONNECT')") == "f"
    assert guestbook.inside("app", "id -u") != "0"
    # Only the application is published, and all three find each other by name.
    published = [docker("port", f"{guestbook.name}-{service}") for service in SERVICES]
    assert published[:2] == ["", ""]
    assert published[2].startswith("9000/tcp -> 127.0.0.1:")
    assert guestbook.inside("app", "getent hosts postgres redis guestbook web").count("\n") == 3


def test_a_second_run_changes_nothing(guestbook: Site) -> None:
    before = guestbook.objects()
    assert changed(guestbook.play("playbook.yml")) == 0
    assert guestbook.objects() == before


def test_what_is_removed_by_hand_comes_back_with_its_data(guestbook: Site, client: httpx.Client) -> None:
    docker("rm", "--force", "--volumes", f"{guestbook.name}-postgres", f"{guestbook.name}-app")
    passwords = yaml.safe_load((guestbook.folder / "secrets.yml").read_text()).values()
    assert len(passwords) == 2
    said = guestbook.play("playbook.yml", "-vvvvv", "--diff")
    assert not [password for password in passwords if password in said]
    assert client.get("/entries").json()["entries"] == ["Grüße, 'quoted'"]


def test_another_folder_of_the_same_name_is_refused_before_anything_is_touched(
    neighbour: Site, tmp_path: Path
) -> None:
    namesake = Site.make(tmp_path, neighbour.name)
    (namesake.folder / "playbook.yml").write_text(FEW_LINES)
    before = neighbour.objects()
    said = namesake.play("playbook.yml", code=2)
    assert f"The container {neighbour.name}-redis exists and is not ours" in said
    assert f"its label container.checkout is {neighbour.folder}, not {namesake.folder}" in said
    assert changed(namesake.play("absent.yml")) == 0
    assert neighbour.objects() == before


def test_absent_removes_all_of_it_and_nothing_else(
    guestbook: Site, neighbour: Site, developers: dict[str, str]
) -> None:
    before = neighbour.objects()
    assert changed(guestbook.play("absent.yml")) == 1
    assert guestbook.objects() == {}
    assert guestbook.images() == []
    assert changed(guestbook.play("absent.yml")) == 0
    assert neighbour.objects() == before
    assert neighbour.inside("redis", "sh /tmp/redis-admin GET kept") == "yes"
    assert objects("dashtam.instance=dashtam").items() >= developers.items()
