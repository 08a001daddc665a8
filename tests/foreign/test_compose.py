"""`make plan FORMAT=compose`: docker compose makes of it what the playbooks make."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

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


@pytest.fixture(params=["dev", "test"])
def sides(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Side, Side]]:
    """An environment by the playbooks, which is up, and by docker compose, which is not made yet."""
    ours = Playbooks(request.param, f"compose-{secrets.token_hex(3)}", PORT_OFFSET)
    try:
        ours.bring("up")
        compose = Compose(ours, tmp_path, client(), health_interval=None)
        try:
            yield ours, compose
        finally:
            compose.bring("absent")
    finally:
        ours.bring("absent")
        ours.forget()


def test_it_makes_the_same_containers(sides: tuple[Side, Side]) -> None:
    ours, compose = sides
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
