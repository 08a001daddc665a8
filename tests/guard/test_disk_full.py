"""A disk that is full is reported, loses nothing, and all goes on once there is room again."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator

import docker
import pytest

from tests.by_path import ROOT
from tests.guard.scratch import LABELS, PGDATA, Server, _image
from tests.guard.test_interrupted_initdb import Data
from tests.guard.test_kills import PSQL, query, ready

NO_SPACE = "No space left on device"
# In a mount namespace of its own, so that nothing is mounted for anybody else.
BACKUP = """
import subprocess, sys
from pathlib import Path
from tests.by_path import load
archive = load("plugins/action/postgres_archive.py")
container, folder = sys.argv[1], Path(sys.argv[2])
mount = ["mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs", str(folder)]
subprocess.run(mount, check=True)
try:
    archive.dump(archive.Server(container), "full", folder, "full")
except archive.Problem as problem:
    print(f"refused: {problem}")
print(sorted(path.name for path in folder.iterdir()))
subprocess.run(["mount", "-o", "remount,size=64m", str(folder)], check=True)
print(archive.dump(archive.Server(container), "full", folder, "full")["rows"])
"""


@pytest.mark.skipif(not shutil.which("unshare"), reason="no unshare on this machine")
def test_a_backup_is_whole_or_none(other_server: Server, tmp_path: object) -> None:
    other_server.sql("CREATE DATABASE full")
    try:
        rows = "SELECT md5(n::text) || md5((-n)::text) AS noise FROM generate_series(1, 5000) AS n"
        other_server.sql(f"CREATE TABLE noise AS {rows}", "full")
        # A user namespace is needed by those who are not root.
        command = ["unshare", "--map-root-user", "--mount", sys.executable, "-c", BACKUP]
        run = subprocess.run(
            [*command, other_server.container.id, str(tmp_path)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        refused, left, made = run.stdout.splitlines()
        assert refused.startswith("refused: ")
        assert NO_SPACE.lower() in refused.lower()
        assert left == "[]"
        assert made == "{'public.noise': 5000}"
    finally:
        other_server.sql("DROP DATABASE full WITH (FORCE)")


@pytest.fixture
def small() -> Iterator[Data]:
    """A volume of 160 MB in memory, with a container that keeps it while no server runs."""
    engine = docker.from_env()
    volume = engine.volumes.create(
        f"guard-{secrets.token_hex(4)}-small",
        driver_opts={"type": "tmpfs", "device": "tmpfs", "o": "size=160m,mode=0700"},
        labels=LABELS,
    )
    data = Data(engine, volume.name)
    keeper = engine.containers.run(
        _image(engine), ["300"], entrypoint="sleep", mounts=[data._mount], labels=LABELS, detach=True
    )
    yield data
    keeper.remove(force=True)
    volume.remove(force=True)
    engine.close()


def test_a_cluster_that_did_not_fit_is_made_once_there_is_room(small: Data) -> None:
    """As `make dev` does it: the server's log is what it shows."""
    small.plant("true")
    keeper = small.engine.containers.list(filters={"volume": small.volume})[0]
    ballast = ["sh", "-c", f"head -c 140M /dev/zero >{PGDATA}/.initdb-ballast"]
    assert keeper.exec_run(ballast, user="root").exit_code == 0
    code, log = small.ends()
    assert code != 0
    assert NO_SPACE in log or "not empty" in log
    assert keeper.exec_run(["rm", "-f", f"{PGDATA}/.initdb-ballast"], user="root").exit_code == 0
    assert small.databases()[0] == ["postgres", "template0", "template1"]


def test_what_was_written_before_the_disk_was_full_stays(small: Data) -> None:
    container = small.start()
    try:
        ready(container)
        query(container, "CREATE TABLE kept (number int, filler text)")
        written = 0
        insert = (
            "INSERT INTO kept SELECT n, repeat(md5(random()::text), 30) FROM generate_series(1, 5000) AS n"
        )
        for _ in range(100):
            code, output = container.exec_run([*PSQL, "-c", insert], user="postgres")
            if code:
                break
            written += 5000
        said = output.decode() + container.logs().decode()
        assert code, "the disk was never full"
        assert NO_SPACE in said
        assert written
        # A server whose log of transactions found no room has stopped.
        container.reload()
        if container.status != "running":
            container.start()
        ready(container)
        assert query(container, "SELECT count(*) FROM kept") == str(written)
        query(container, "TRUNCATE kept; CHECKPOINT; INSERT INTO kept VALUES (1)")
        assert query(container, "SELECT count(*) FROM kept") == "1"
    finally:
        container.remove(force=True)
