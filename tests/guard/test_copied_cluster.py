"""The project's image copies what initdb made when it was built; what must differ between servers does."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator

import docker
import pytest
from docker.models.containers import Container

from tests import inside
from tests.by_path import ROOT
from tests.guard.scratch import INITDB, LABELS, LIFETIME, _image

COPIED = "copying what initdb made"
SHARED = "/usr/share/postgresql"
DOCKERFILE = ROOT / "roles/images/files/postgres/Dockerfile"
PLANS = ROOT / "tests/provisioning/plans"

Start = Callable[..., Container]


def ask(container: Container, *command: str) -> str:
    """What a command prints that the server's user runs."""
    return inside.said(container, ["env", "LC_ALL=C", *command], "postgres")


def control(container: Container, name: str) -> str:
    """One value of pg_control."""
    (line,) = [line for line in ask(container, "pg_controldata").splitlines() if line.startswith(f"{name}:")]
    return line.partition(":")[2].strip()


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a server with these variables besides those that the role sets."""
    engine, servers = docker.from_env(), []
    tmpfs = {"/var/lib/postgresql/data": "size=300M"}
    if (
        "cluster\n"
        not in engine.containers.run(_image(engine), ["ls", SHARED], remove=True, tmpfs=tmpfs).decode()
    ):
        pytest.skip("this image makes each cluster by initdb")

    def begin(**environment: str) -> Container:
        container = engine.containers.run(
            _image(engine),
            ["timeout", str(LIFETIME), "docker-entrypoint.sh", "postgres"],
            detach=True,
            environment={"POSTGRES_HOST_AUTH_METHOD": "trust", "POSTGRES_INITDB_ARGS": INITDB} | environment,
            tmpfs=tmpfs,
            labels=LABELS,
            name=f"guard-{secrets.token_hex(4)}-copied",
        )
        servers.append(container)
        deadline = time.monotonic() + 60
        while inside.run(container, ["pg_isready", "-q", "-h", "127.0.0.1"])[0]:
            container.reload()
            still = container.status == "running" and time.monotonic() < deadline
            assert still, container.logs().decode()
            time.sleep(0.1)
        return container

    yield begin
    for server in servers:
        server.remove(force=True)
    engine.close()


def test_the_role_asks_for_what_the_image_has() -> None:
    assert f'INITDB_ARGS="{INITDB}"' in DOCKERFILE.read_text()
    for plan in PLANS.glob("*.yml"):
        assert f"POSTGRES_INITDB_ARGS: {INITDB}\n" in plan.read_text(), plan.name


def test_two_servers_share_neither_identifier_nor_nonce(start: Start) -> None:
    one, other = start(), start()
    assert COPIED in one.logs().decode()
    for name in ("Database system identifier", "Mock authentication nonce"):
        assert control(one, name) != control(other, name)
    # As initdb's option -k asks for.
    assert control(one, "Data page checksum version") == "1"
    assert ask(one, "pg_amcheck", "--all", "--install-missing", "--heapallindexed") == ""


@pytest.mark.parametrize(
    "environment",
    [
        {"POSTGRES_INITDB_ARGS": f"{INITDB} --no-sync"},
        {"POSTGRES_USER": "boss", "POSTGRES_DB": "postgres"},
        {"TZ": "Asia/Tokyo"},
    ],
    ids=lambda environment: next(iter(environment)),
)
def test_what_differs_is_made_by_initdb(start: Start, environment: dict[str, str]) -> None:
    server = start(**environment)
    assert COPIED not in server.logs().decode()
    assert ask(server, "postgres", "-C", "timezone").strip() == environment.get("TZ", "Etc/UTC")


def test_a_password_is_the_administrators(start: Start) -> None:
    server = start(POSTGRES_PASSWORD="of-a-scratch-server", POSTGRES_HOST_AUTH_METHOD="scram-sha-256")
    login = ["psql", "-XAt", "-c", "SELECT 1", "postgresql://postgres:of-a-scratch-server@127.0.0.1/postgres"]
    assert ask(server, *login) == "1\n"
    wrong = login[-1].replace("of-a", "not-of-a")
    assert inside.run(server, [*login[:-1], wrong], "postgres")[0] == 2
