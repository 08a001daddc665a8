"""Dev's data as a person handles them with `make`: kept, gone back to, reset, moved, and copied."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import docker
import pytest
import yaml

from tests import collection, inside
from tests.by_path import ROOT

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="no make on this machine")
FIRST, SECOND = ("INSTANCE=data", "PORT_OFFSET=600"), ("INSTANCE=data-copy", "PORT_OFFSET=610")
SERVICES = ("app", "callback", "fake-schwab", "postgres", "redis")
SNAPSHOTS = ROOT / "backups/snapshots"
SECRETS = {name: ROOT / f"env/.secrets.dev.{name}.yml" for name in ("data", "data-copy")}
ROWS = """
    SELECT md5(string_agg(u::text, ',' ORDER BY id)) FROM users u UNION ALL
    SELECT md5(string_agg(p::text, ',' ORDER BY id)) FROM providers p UNION ALL
    SELECT count(*)::text FROM provider_audit_logs
"""


def make(*arguments: str, instance: tuple[str, str] = FIRST, code: int = 0, typed: str | None = None) -> str:
    """Return what it prints, or of a failure what it says of it."""
    run = subprocess.run(
        ["make", "--old-file=venv", "--old-file=engine", *arguments, *instance],
        cwd=ROOT,
        env=collection.outside(),
        input=typed,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == code, run.stdout + run.stderr
    return run.stdout if code == 0 else run.stdout + run.stderr


def answer(*arguments: str, **more: Any) -> Any:
    """Return the answer, which is all that it prints, as JSON."""
    return json.loads(make(*arguments, "FORMAT=json", **more))


def run(container: str, *command: str, user: str = "") -> str:
    client = docker.from_env()
    try:
        return inside.said(client.containers.get(container), list(command), user).strip()
    finally:
        client.close()


def psql(statement: str, name: str = "data") -> str:
    words = ("psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", "dashtam", "-c", statement)
    return run(f"{name}-dev-postgres", *words, user="postgres")


def redis_cli(*words: str, name: str = "data") -> str:
    return run(f"{name}-dev-redis", "sh", "/tmp/redis-admin", "-e", *words)


def started(name: str) -> dict[str, tuple[str, int]]:
    client = docker.from_env()
    found = {each: client.containers.get(f"{name}-dev-{each}").attrs for each in SERVICES}
    client.close()
    return {each: (has["State"]["StartedAt"], has["RestartCount"]) for each, has in found.items()}


def ended(name: str) -> float:
    """Return when a container last ended, in seconds since 1970."""
    client = docker.from_env()
    state = client.containers.get(name).attrs["State"]
    client.close()
    return datetime.fromisoformat(state["FinishedAt"]).timestamp()


def clean() -> None:
    for instance in (SECOND, FIRST):
        make(
            "clean", "LIMIT=dev", "ANSIBLE_ARGS=-e clean_confirm=dev -e clean_backup=false", instance=instance
        )
    for path in [*(ROOT / "env").glob("*.data.*"), *(ROOT / "env").glob("*.data-copy*")]:
        path.unlink()
    for path in (ROOT / "env").glob(".*.data*"):
        path.unlink()
    for name in ("data-dev", "data-copy-dev"):
        shutil.rmtree(SNAPSHOTS / name, ignore_errors=True)


@pytest.fixture(scope="module", autouse=True)
def environment() -> Iterator[None]:
    for name in SECRETS:
        local = ROOT / f"env/local.dev.{name}.yml"
        local.write_text("dashtam_services: [fake_schwab]\n")
        local.chmod(0o600)
    try:
        make("dev")
        yield
    finally:
        clean()


def test_seed_makes_a_user_and_connects_the_fake_provider_as_often_as_wanted() -> None:
    first, second = answer("seed"), answer("seed")
    assert (first["user"], first["provider"]) == ("created", "connected")
    assert (second["user"], second["provider"]) == ("kept", "kept")
    assert first["password"] == "SEED_PASSWORD in env/.secrets.dev.data.yml"
    assert psql("SELECT email FROM users WHERE email_verified_at IS NOT NULL") == first["email"]
    assert psql("SELECT status FROM provider_connections") == "active"


def test_a_snapshot_brings_back_every_row_after_a_rotation_of_the_keys() -> None:
    before = psql(ROWS)
    taken = answer("snapshot", "NAME=before-refactor")
    assert taken["rows"] > 0
    psql("UPDATE users SET name = 'Other'")
    psql("CREATE DATABASE older")
    make("rotate-secrets")
    restored = answer("snapshot-restore", "NAME=before-refactor")
    assert (restored["source"], restored["rows"]) == ("before-refactor", taken["rows"])
    assert psql(ROWS) == before
    # Not in what a person has made, which is now older than the database that was put back.
    assert "\n dashtam\n" in make("dev-db-shell", typed="SELECT current_database()")
    psql("DROP DATABASE older")
    # The tokens are under the new key: the app would not have become ready otherwise, and no other is needed.
    key = psql("SELECT key_id FROM provider_tokens")
    said = run("data-dev-app", "python", "-m", "src.core.security.rotate_encryption_keys")
    assert f"Every row is under {key}, the first key" in said.replace("\\", "")
    listed = answer("snapshots")
    assert [each["name"] for each in listed] == ["auto-restore", "before-refactor"]
    revision = psql("SELECT version_num FROM alembic_version")
    assert {each["revision"] for each in listed} == {revision}
    assert "before-refactor" in make("snapshots")
    assert (
        answer(
            "drift",
            "LIMIT=dev",
        )["drift"]
        == []
    )


def test_what_cannot_be_done_is_said_in_a_line_and_nothing_is_touched() -> None:
    before = psql(ROWS), sorted(SNAPSHOTS.rglob("*"))
    for arguments, line in (
        (("snapshot",), "Name it: make snapshot INSTANCE=data PORT_OFFSET=600 NAME=before-refactor."),
        (("snapshot", "NAME=auto-clean"), "does not begin with 'auto-'"),
        (("snapshot", "NAME=../x"), "Name it: make snapshot"),
        (("snapshot-restore", "NAME=nowhere"), "There is no snapshot 'nowhere' of data-dev"),
        (("import", "FILE=nowhere.sql"), "nowhere.sql is not a file"),
        (("dev-reset",), "Nothing was reset: 'dev' was not typed."),
        (("dev", "FROM=nowhere"), "There is no development environment nowhere to copy. There is:"),
        (("dev", "FROM=data"), "FROM=data is this instance itself"),
    ):
        said = make(*arguments, code=2)
        assert line in said
        assert "Traceback" not in said
    assert (psql(ROWS), sorted(SNAPSHOTS.rglob("*"))) == before


def test_a_reset_leaves_what_migrations_and_seed_make_and_a_way_back() -> None:
    psql("INSERT INTO users (email, password_hash, name) VALUES ('mine@x.test', 'x', 'Mine')")
    redis_cli("SET", "dashtam:mine", "1")
    # It must not wait for the lock that the reset holds.
    seed = {"chdir": str(ROOT), "cmd": f"make seed {' '.join(FIRST)}"}
    own = ROOT / "env/local.dev.data.tasks.yml"
    own.write_text(json.dumps([{"name": "Seed", "ansible.builtin.command": seed, "changed_when": False}]))
    said = answer("dev-reset", "ANSIBLE_ARGS=-e reset_confirm=dev")
    own.unlink()
    assert (said["user"], said["provider"]) == ("created", "connected")
    assert psql("SELECT count(*) FROM users") == "1"
    assert redis_cli("EXISTS", "dashtam:mine") == "0"
    newest = answer("snapshots")[0]
    assert newest["name"] == "auto-reset"
    assert Path(newest["file"]).stem == said["before"]
    # The app had ended before: what it writes during a dump is not in it.
    assert ended("data-dev-app") < Path(newest["file"]).stat().st_mtime
    assert newest["rows"] > int(psql("SELECT count(*) FROM users"))


def test_a_reset_without_a_way_back_is_none() -> None:
    before, folder = psql(ROWS), SNAPSHOTS / "data-dev"
    aside = folder.rename(folder.with_name("data-dev-aside"))
    folder.write_text("no folder")
    try:
        said = make("dev-reset", "ANSIBLE_ARGS=-e reset_confirm=dev", code=2)
    finally:
        folder.unlink()
        aside.rename(folder)
    assert "data-dev's data could not be kept as a snapshot; the reason is above. Nothing was reset." in said
    assert psql(ROWS) == before
    assert "changed=0" in make("dev")


def test_a_downgrade_leaves_a_way_back() -> None:
    revision, before = psql("SELECT version_num FROM alembic_version"), psql(ROWS)
    make("migrate-down")
    assert psql("SELECT version_num FROM alembic_version") != revision
    newest = answer("snapshots")[0]
    assert (newest["name"], newest["revision"]) == ("auto-downgrade", revision)
    make("migrate")
    assert psql(ROWS) == before


def test_an_export_comes_in_again_as_it_was(tmp_path: Path) -> None:
    before = psql(ROWS)
    path = tmp_path / "it's.sql"
    exported = answer("export", f"FILE={path}")
    assert exported == {"file": str(path), "size": path.stat().st_size}
    assert path.stat().st_mode & 0o777 == 0o600
    psql("DELETE FROM users")
    assert answer("import", f"FILE={path}")["rows"] > 0
    assert psql(ROWS) == before
    assert "exists; nothing was written" in make("export", f"FILE={path}", code=2)


def test_a_backup_brings_back_every_row() -> None:
    before = psql(ROWS)
    saved = answer("backup")
    psql("UPDATE users SET name = 'Other'")
    assert answer("restore", "LIMIT=dev", f"FILE={saved['file']}")["source"] == saved["file"]
    assert psql(ROWS) == before
    Path(saved["file"]).unlink()


def test_a_second_instance_on_a_copy_of_the_data() -> None:
    redis_cli("SET", "dashtam:kept", "a\nb", "PX", "600000")
    before, running = psql(ROWS), started("data")
    make("dev", "FROM=data", instance=SECOND)
    assert psql(ROWS, "data-copy") == psql(ROWS) == before
    assert started("data") == running
    assert redis_cli("GET", "dashtam:kept", name="data-copy") == "a\nb"
    assert 0 < int(redis_cli("PTTL", "dashtam:kept", name="data-copy")) <= 600_000
    ours, copied = (yaml.safe_load(path.read_text()) for path in SECRETS.values())
    same = {name for name, value in copied.items() if ours.get(name) == value}
    assert same == {"ENCRYPTION_KEY", "SECRET_KEY"}
    said = make("dev", "FROM=data", instance=SECOND, code=2)
    assert "data-copy-dev already exists" in said
    assert "changed=0" in make("dev", instance=SECOND)
    psql("DELETE FROM users", "data-copy")
    make("clean", "LIMIT=dev", "ANSIBLE_ARGS=-e clean_confirm=dev", instance=SECOND)
    assert (psql(ROWS), started("data")) == (before, running)
    assert [each["name"] for each in answer("snapshots", instance=SECOND)] == ["auto-clean", "from-data"]


def test_a_copy_that_fails_could_remove_a_volume_and_is_not_begun() -> None:
    labels = {"dashtam.instance": "data-copy", "dashtam.environment": "dev", "dashtam.checkout": str(ROOT)}
    client = docker.from_env()
    volume = client.volumes.create("data-copy-dev-uploads", labels=labels)
    try:
        said = make("dev", "FROM=data", instance=SECOND, code=2)
        assert "data-copy-dev already exists (data-copy-dev-uploads)" in said
        assert client.volumes.get(volume.name)
    finally:
        volume.remove()
        client.close()


def test_a_volume_of_this_version_needs_no_upgrade() -> None:
    said = answer("upgrade-postgres")
    assert said == {"from": said["to"], "to": said["to"], "upgraded": False, "rows": None}


def on_the_volume(image: str, *command: str, user: str) -> None:
    """Run a command of the image on the data, whose server is down."""
    client = docker.from_env()
    volumes = {"data_postgres_dev_data": {"bind": "/data", "mode": "rw"}}
    # Or the image's own volume, without a name, would stay.
    unused = {"/var/lib/postgresql/data": ""}
    client.containers.run(
        image, entrypoint=list(command), user=user, volumes=volumes, tmpfs=unused, remove=True
    )
    client.close()


def owned_by(user: str, image: str) -> None:
    """Give the volume's files to another user, as those of another image are."""
    on_the_volume(image, "chown", "-R", user, "/data", user="root")


def test_an_upgrade_keeps_all_rows_and_refuses_to_lose_another_database() -> None:
    """No image of another version is at hand: the files are another user's, which is handled as one."""
    client = docker.from_env()
    container = client.containers.get("data-dev-postgres")
    image, owner = container.attrs["Config"]["Image"], run("data-dev-postgres", "id", "-u", user="postgres")
    client.close()
    old = f"ANSIBLE_ARGS=-e postgres_upgrade_image={image}"
    before, rows = psql(ROWS), answer("snapshot", "NAME=counted")["rows"]
    psql("CREATE DATABASE scratch")
    make("dev-down")
    owned_by("33:33", image)
    said = make("upgrade-postgres", old, code=2)
    assert "There are other databases, which would be lost: scratch. With 'postgres_image: " in said
    assert "postgres_upgrade_image" not in said
    owned_by(f"{owner}:{owner}", image)
    drop = "echo DROP DATABASE scratch | postgres --single -D /data postgres"
    on_the_volume(image, "sh", "-c", drop, user=owner)
    owned_by("33:33", image)
    upgraded = answer("upgrade-postgres", old)
    assert (upgraded["upgraded"], upgraded["rows"]) == (True, rows)
    assert psql(ROWS) == before
    assert answer("snapshots")[0]["name"] == "auto-upgrade"
    assert "changed=0" in make("dev")
