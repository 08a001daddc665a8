"""What docker compose shows of an environment, and what it makes of `make plan FORMAT=compose`."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.commands import run
from benchmarks.compose import Compose, client
from benchmarks.playbooks import Playbooks
from benchmarks.sides import Side
from tests.foreign.site import docker

PORT_OFFSET = 1200
CONFIG = ("Image", "Cmd", "Entrypoint", "User", "WorkingDir", "Healthcheck", "StopTimeout", "StopSignal")
HOST = (
    "PortBindings",
    "RestartPolicy",
    "ReadonlyRootfs",
    "CapAdd",
    "CapDrop",
    "SecurityOpt",
    "ShmSize",
    "Memory",
    "MemorySwap",
    "PidsLimit",
    "Init",
    "Privileged",
    "LogConfig",
    "Ulimits",
)
CLUSTER = """
    SELECT rolname, rolsuper, rolcreatedb, rolcreaterole, rolcanlogin
    FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY 1;
    SELECT datname, pg_get_userbyid(datdba), datacl FROM pg_database ORDER BY 1;
    SELECT datname, setrole, setconfig
    FROM pg_db_role_setting LEFT JOIN pg_database ON pg_database.oid = setdatabase;
"""


def told(container: str) -> dict[str, Any]:
    """Return what was declared about a container, as the engine tells it."""
    (found,) = json.loads(docker("inspect", container))
    host = found["HostConfig"]
    result = {key: found["Config"].get(key) for key in CONFIG}
    # The engine answers null, an empty list or a default for what was not given.
    result |= {key: host.get(key) or None for key in HOST}
    # The playbooks ask for no more processors than there are, and compose for a share of their time.
    processors = host["NanoCpus"] / 1e9 or host["CpuQuota"] / host["CpuPeriod"]
    result["processors"] = min(processors, int(docker("info", "--format", "{{.NCPU}}")))
    result["Env"] = sorted(found["Config"]["Env"])
    result["Mounts"] = {
        mount["Destination"]: (mount["Type"], mount["RW"], mount["Source"] if mount["Type"] == "bind" else "")
        for mount in found["Mounts"]
    }
    result["Tmpfs"] = {
        mount["Target"]: mount["TmpfsOptions"] for mount in host["Mounts"] or [] if mount["Type"] == "tmpfs"
    }
    (network,) = found["NetworkSettings"]["Networks"].values()
    result["Aliases"] = {name for name in network["Aliases"] if "-" not in name or name == "fake-schwab"}
    result["Aliases"] -= {found["Config"]["Hostname"]}
    return result


def cluster(side: Side) -> str:
    """Return roles, databases and their settings."""
    psql = ("psql", "-qAtX", "-U", "postgres", "-c", CLUSTER)
    return docker("exec", "-u", "postgres", side.container("postgres"), *psql)


@pytest.fixture(params=["dev", "test"], scope="module")
def sides(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Playbooks, Side]]:
    """An environment by the playbooks, which is up, and by docker compose, which is not made yet."""
    ours = Playbooks(request.param, f"compose-{secrets.token_hex(3)}", PORT_OFFSET)
    try:
        ours.bring("up")
        compose = Compose(ours, tmp_path_factory.mktemp("compose"), client(), health_interval=None)
        try:
            yield ours, compose
        finally:
            compose.bring("absent")
    finally:
        ours.bring("absent")
        ours.forget()


def test_it_shows_what_the_playbooks_made(sides: tuple[Playbooks, Side]) -> None:
    ours, _ = sides
    name = ours.container("app").removesuffix("-app")
    services = sorted(container.removeprefix(f"{name}-") for container in ours.containers())

    def compose(*arguments: str) -> str:
        return run(*client(), *arguments)

    (listed,) = json.loads(compose("ls", "--format", "json", "--filter", f"name=^{name}$"))
    assert listed["Status"] == f"running({len(services)})"
    assert [Path(file).is_file() for file in listed["ConfigFiles"].split(",")] == [True]
    shown = [json.loads(line) for line in compose("-p", name, "ps", "--format", "json").splitlines()]
    assert sorted(each["Service"] for each in shown) == services
    assert "Uvicorn running on" in compose("-p", name, "logs", "--no-color", "app")
    assert compose("-p", name, "exec", "-T", "app", "pwd") == "/app\n"
    # These labels are no difference, and no volume has them, so that compose takes no data with it.
    volumes = docker("volume", "ls", "--quiet", "--filter", f"label=dashtam.instance={ours.instance}")
    assert ours.make("drift", f"LIMIT={ours.environment}").split("\n")[-2].endswith(": as declared")
    compose("-p", name, "down", "--volumes")
    ours.state = "down"
    assert ours.containers() == []
    assert docker("volume", "ls", "--quiet", "--filter", f"label=dashtam.instance={ours.instance}") == volumes
    assert len(volumes.split()) == {"dev": 2, "test": 0}[ours.environment]


def test_it_makes_the_same_containers(sides: tuple[Playbooks, Side]) -> None:
    ours, compose = sides
    ours.bring("up")
    found = []
    services = sorted(name.partition(f"-{ours.environment}-")[2] for name in ours.containers())
    for side in (ours, compose):
        side.bring("up")
        assert len(side.containers()) == len(services)
        docker(
            "exec",
            side.container("app"),
            "curl",
            "-fsS",
            "--cacert",
            "/app/certs/ca.pem",
            "https://localhost:8000/ready",
        )
        found.append(({name: told(side.container(name)) for name in services}, cluster(side)))
        side.bring("absent")
    (containers, database), (others, other_database) = found
    different = {
        f"{name} {key}": (value, others[name][key])
        for name, container in containers.items()
        for key, value in container.items()
        if others[name][key] != value
    }
    # What compose sets up the database with has to be copied into that container.
    assert different == {"postgres ReadonlyRootfs": (True, None)}
    assert other_database == database
