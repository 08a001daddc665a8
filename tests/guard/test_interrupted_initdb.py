"""What a killed initdb leaves on a volume is healed, and what could be data is never removed.

Each state is planted on a real volume. The command is the postgres role's, so what holds here holds for an
image whose entrypoint makes the cluster in place, too: the states are what such an initdb leaves.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import docker
import pytest
from docker.models.containers import Container

from tests import inside
from tests.guard.scratch import HBA, INITDB, LABELS, LIFETIME, PGDATA, ROLE, _image

ADVICE = "To keep all rows: make upgrade-postgres"
INITDB_NO_SYNC = f"initdb --no-sync {INITDB}"
START = "pg_ctl -w start && psql -qU postgres -c 'CREATE DATABASE kept' && pg_ctl -w stop"
# Made once, as both take seconds, and copied: what initdb leaves, and a cluster that a server has used.
MADE = "/made"
IN_PLACE, STARTED = (f"cp -a {MADE}/{name}/. ." for name in ("in-place", "started"))
# What a killed initdb leaves, in the order of its work (src/bin/initdb/initdb.c): folders, PG_VERSION,
# settings, global/pg_control, template1, then template0 and postgres.
FOLDERS = "rm -r PG_VERSION *.conf global/* base/* pg_wal/*"
HALF_MADE = {
    "folders alone": FOLDERS,
    "no global/pg_control": "rm -r *.conf global/* base/* pg_wal/*",
    "template1 half-made": "rm -r global/pg_control base/1/2* base/4 base/5",
    "no template0": "rm -r base/4 base/5",
    "no postgres": "rm -r base/5",
    "no server has started": "true",
    # The entrypoint of the project's own image makes it beside, and moves PG_VERSION last.
    "beside": f"mkdir .initdb && {FOLDERS} && touch .initdb/PG_VERSION",
    "beside, nothing moved": "mkdir .initdb && mv [a-zP]* .initdb/ && rm .initdb/global/pg_control",
}


@dataclass(frozen=True)
class Data:
    """A volume for PGDATA."""

    engine: docker.DockerClient
    volume: str
    # In the volume, or a folder in it.
    pgdata: str = PGDATA
    # The volume with the clusters to copy.
    made: str = ""

    def plant(self, *commands: str) -> str:
        """Run commands in the folder, as its owner; what they print."""
        output = self.engine.containers.run(
            _image(self.engine),
            ["-ec", f"cd {PGDATA}; " + "; ".join(commands)],
            entrypoint="sh",
            user="postgres",
            environment={"PGDATA": PGDATA},
            mounts=[self._mount, docker.types.Mount(MADE, self.made or self.volume, type="volume")],
            labels=LABELS,
            remove=True,
        )
        return str(output.decode())

    @property
    def _mount(self) -> docker.types.Mount:
        return docker.types.Mount(PGDATA, self.volume, type="volume")

    def start(self, user: str | None = None) -> Container:
        """A server by the role's command, as the image's own user unless another one is named."""
        hba = "/tmp/postgresql-hba.conf"
        script = (ROLE / "start.sh").read_text()
        return self.engine.containers.run(
            _image(self.engine),
            ["timeout", str(LIFETIME), "sh", "-c", script, "start", hba, f"-chba_file={hba}"],
            detach=True,
            user=user,
            environment={
                "POSTGRES_HBA": HBA,
                "POSTGRES_UPGRADE": ADVICE,
                "POSTGRES_HOST_AUTH_METHOD": "trust",
                "POSTGRES_INITDB_ARGS": INITDB,
                "PGDATA": self.pgdata,
            },
            mounts=[self._mount],
            labels=LABELS,
        )

    def ends(self, user: str | None = None) -> tuple[int, str]:
        """Exit code and log of a server that does not start."""
        container = self.start(user)
        try:
            code: int = container.wait(timeout=60)["StatusCode"]
            return code, container.logs().decode()
        finally:
            container.remove(force=True)

    def databases(self) -> tuple[list[str], str]:
        """What a server that starts has, and its log."""
        container = self.start()
        try:
            deadline = time.monotonic() + 60
            query = ["psql", "-qAtX", "-U", "postgres", "-c", "SELECT datname FROM pg_database ORDER BY 1"]
            while inside.run(container, ["pg_isready", "-q", "-h", "127.0.0.1"])[0]:
                container.reload()
                assert container.status == "running", container.logs().decode()
                assert time.monotonic() < deadline, container.logs().decode()
                time.sleep(0.1)
            return inside.said(container, query, user="postgres").split(), container.logs().decode()
        finally:
            container.remove(force=True)


@pytest.fixture(scope="module")
def made() -> Iterator[str]:
    engine = docker.from_env()
    volume = engine.volumes.create(f"guard-{secrets.token_hex(4)}-made", labels=LABELS)
    script = f"""
        mkdir in-place started
        PGDATA={PGDATA}/in-place {INITDB_NO_SYNC}
        cp -a in-place/. started
        export PGDATA={PGDATA}/started
        {START}
    """
    Data(engine, volume.name).plant(script)
    yield volume.name
    volume.remove(force=True)
    engine.close()


@pytest.fixture
def empty() -> Iterator[Data]:
    engine = docker.from_env()
    volume = engine.volumes.create(f"guard-{secrets.token_hex(4)}-data", labels=LABELS)
    yield Data(engine, volume.name)
    volume.remove(force=True)
    engine.close()


@pytest.fixture
def data(empty: Data, made: str) -> Data:
    return replace(empty, made=made)


@pytest.mark.parametrize("state", [state for state in HALF_MADE if "beside" in state])
def test_what_our_entrypoint_has_left_beside_is_made_again(data: Data, state: str) -> None:
    if data.plant("grep -c '[.]initdb' /usr/local/bin/docker-entrypoint.sh || :") == "0\n":
        pytest.skip("this image's entrypoint makes the cluster in place")
    test_what_initdb_has_left_half_made_is_made_again(data, state)


@pytest.mark.parametrize("state", [state for state in HALF_MADE if "beside" not in state])
def test_what_initdb_has_left_half_made_is_made_again(data: Data, state: str) -> None:
    data.plant(IN_PLACE, HALF_MADE[state])
    databases, log = data.databases()
    assert databases == ["postgres", "template0", "template1"]
    assert "interrupted" in log
    assert data.plant("ls -A | grep -c initdb || :") == "0\n"
    # And the next start finds a database.
    assert data.databases()[0] == databases


@pytest.mark.parametrize("seconds", [0.3, 0.6, 0.9])
def test_a_start_that_is_killed_is_healed_by_the_next(data: Data, seconds: float) -> None:
    container = data.start()
    time.sleep(seconds)
    container.kill()
    container.remove(force=True)
    assert data.databases()[0] == ["postgres", "template0", "template1"]


@pytest.mark.parametrize(
    "copied", ["true", "rm postmaster.opts", "rm postmaster.opts && touch backup_label.old"]
)
def test_data_stays_whether_a_server_has_left_its_options_or_not(data: Data, copied: str) -> None:
    data.plant(STARTED, copied)
    databases, log = data.databases()
    assert databases == ["kept", "postgres", "template0", "template1"]
    assert "interrupted" not in log


@pytest.mark.parametrize("lost", ["rm global/pg_control", "rm global/pg_control postmaster.opts"])
def test_a_cluster_that_was_used_and_cannot_start_is_refused_in_a_line(data: Data, lost: str) -> None:
    data.plant(STARTED, lost)
    before = data.plant("find . | sort")
    code, log = data.ends()
    assert code == 1
    assert log.splitlines() == [
        f"{PGDATA} was used and has lost global/pg_control: no server can start from it. "
        "Nothing was changed. Restore the volume from a copy; or, to give its data up, remove the volume "
        "without a backup."
    ]
    assert data.plant("find . | sort") == before


def test_what_somebody_keeps_in_the_folder_is_left_alone(data: Data) -> None:
    data.plant("mkdir base notes", "echo mine > notes/mine")
    code, log = data.ends()
    assert code == 1
    assert "is not empty" in log
    assert data.plant("cat notes/mine") == "mine\n"


def test_data_of_another_major_version_stop_in_a_line(data: Data) -> None:
    data.plant(STARTED, "echo 16 >PG_VERSION")
    before = data.plant("find . | sort")
    code, log = data.ends()
    assert code == 1
    (line,) = log.splitlines()
    assert re.fullmatch(
        rf"{PGDATA} was made by PostgreSQL 16, and this image has \d+, which .*\. {ADVICE}", line
    )
    assert data.plant("find . | sort") == before


def test_data_of_another_images_user_stop_in_a_line(data: Data) -> None:
    data.plant(STARTED, "chmod 0 .")
    code, log = data.ends("postgres")
    assert code == 1
    said = "belongs to a user of another image, and this image's server cannot read it. Nothing was changed."
    assert log.splitlines() == [f"{PGDATA} {said} {ADVICE}"]
