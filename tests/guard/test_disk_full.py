"""A disk that is full is reported, loses nothing, and all goes on once there is room again."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator

import docker
import pytest

from tests import inside
from tests.by_path import ROOT
from tests.guard.scratch import LABELS, PGDATA, Server, _image
from tests.guard.test_interrupted_initdb import Data
from tests.guard.test_kills import PSQL, query, ready

NO_SPACE = "No space left on device"
MEGABYTES = 400
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
    archive.dump(archive.Server(container), "backed_up", folder, "full")
except archive.Problem as problem:
    print(f"refused: {problem}")
print(sorted(path.name for path in folder.iterdir()))
subprocess.run(["mount", "-o", "remount,size=64m", str(folder)], check=True)
print(archive.dump(archive.Server(container), "backed_up", folder, "full")["rows"])
"""


@pytest.mark.skipif(not shutil.which("unshare"), reason="no unshare on this machine")
def test_a_backup_is_whole_or_none(other_server: Server, tmp_path: object) -> None:
    other_server.sql("CREATE DATABASE backed_up")
    try:
        rows = "SELECT md5(n::text) || md5((-n)::text) AS noise FROM generate_series(1, 5000) AS n"
        other_server.sql(f"CREATE TABLE noise AS {rows}", "backed_up")
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
        other_server.sql("DROP DATABASE backed_up WITH (FORCE)")


@pytest.fixture
def small() -> Iterator[tuple[Data, Callable[[int], None]]]:
    """A volume in memory, and what leaves so many megabytes of it free; a container keeps it mounted."""
    engine = docker.from_env()
    volume = engine.volumes.create(
        f"guard-{secrets.token_hex(4)}-small",
        driver_opts={"type": "tmpfs", "device": "tmpfs", "o": f"size={MEGABYTES}m,mode=1777"},
        labels=LABELS,
    )
    data = Data(engine, volume.name, f"{PGDATA}/cluster")
    keeper = engine.containers.run(
        _image(engine), ["600"], entrypoint="sleep", mounts=[data._mount], labels=LABELS, detach=True
    )

    def leave(megabytes: int) -> None:
        fill = f"rm -f {PGDATA}/filler && fallocate -l {MEGABYTES - megabytes}M {PGDATA}/filler"
        inside.said(keeper, ["sh", "-c", fill], user="root")

    leave(20)
    yield data, leave
    keeper.remove(force=True)
    volume.remove(force=True)
    engine.close()


def test_a_cluster_that_did_not_fit_is_made_once_there_is_room(
    small: tuple[Data, Callable[[int], None]],
) -> None:
    """The server's log is what `make dev` shows of it."""
    data, leave = small
    code, log = data.ends()
    assert code != 0
    assert NO_SPACE in log
    leave(160)
    assert data.databases()[0] == ["postgres", "template0", "template1"]


def test_what_was_written_before_the_disk_was_full_stays(
    small: tuple[Data, Callable[[int], None]],
) -> None:
    data, leave = small
    leave(160)
    container = data.start()
    try:
        ready(container)
        query(container, "CREATE TABLE kept (number int, filler text)")
        written = 0
        insert = (
            "INSERT INTO kept SELECT n, repeat(md5(random()::text), 30) FROM generate_series(1, 5000) AS n"
        )
        for _ in range(100):
            code, output = inside.run(container, [*PSQL, "-c", insert], user="postgres")
            if code:
                break
            written += 5000
        printed = output + container.logs().decode()
        assert code, "the disk was never full"
        assert NO_SPACE in printed
        assert written
        # A server whose log of transactions found no room has stopped, or is about to.
        leave(200)
        container.restart()
        ready(container)
        assert query(container, "SELECT count(*) FROM kept") == str(written)
        leave(320)
        query(container, insert)
        assert query(container, "SELECT count(*) FROM kept") == str(written + 5000)
    finally:
        container.remove(force=True)
