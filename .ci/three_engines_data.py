"""Drift, scheduled backups, the restore drill and the restore of a stage, for .ci/three-engines."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from three_engines_lab import run
from three_engines_report import expect
from three_engines_requests import only_200, until_200
from three_engines_stage import INSTANCE, ROOT, STAGE, Stage
from three_engines_watch import SERVICES as WATCHERS

BACKUPS = ROOT / "backups"
PASSWORD = "typed-by-hand"  # noqa: S105 - it protects nothing, and must not be shown
SCHEDULE = {"staging_backup_schedule": "15 3 * * *", "staging_backup_keep": 1}
CONFIRMED = ("-e", "restore_confirm=staging")
# The exit code of a drift.
DRIFT = 3
USERS = "SELECT count(*) FROM users"
ADD_USER = (
    "INSERT INTO users (id, email, name, password_hash) VALUES (gen_random_uuid(), 'a@b.example', 'A', 'x')"
)


def table() -> str:
    """This user's crontab."""
    return subprocess.run(["crontab", "-l"], text=True, capture_output=True, check=False).stdout  # noqa: S607 - wherever it is


@contextmanager
def kept() -> Iterator[None]:
    """Put this machine's crontab back, and remove backups, whatever happens."""
    before = table()
    try:
        yield
    finally:
        if table() != before:
            run("crontab", "-", said=before)
        for file in BACKUPS.glob(f"{STAGE}-*"):
            file.unlink()
        shutil.rmtree(BACKUPS / "snapshots" / STAGE, ignore_errors=True)
        (ROOT / f"env/.dump-keys.staging.{INSTANCE}.json").unlink(missing_ok=True)


def change_by_hand(stage: Stage) -> set[tuple[str, str]]:
    """Change the stage as a hurried person does; return what a drift has to say."""

    def docker(*words: str) -> None:
        run("docker", "-H", stage.first.engine, "service", *words)

    docker(
        "update",
        "-q",
        "-d",
        "--env-add",
        f"MY_PASSWORD={PASSWORD}",
        "--limit-memory",
        "333M",
        f"{STAGE}-callback",
    )
    # The same one, by a name that another machine may give to another image.
    haproxy = stage.first.api.inspect_service(f"{STAGE}-balancer")["Spec"]["Labels"]["image"]
    docker("update", "-q", "-d", "--image", haproxy, "--no-resolve-image", f"{STAGE}-balancer")
    docker("scale", "-d", f"{STAGE}-app=1")
    docker("rm", f"{STAGE}-migrate")
    stage.sql("ALTER SYSTEM SET work_mem = '77MB'")
    return {
        (f"{STAGE}-callback", "env MY_PASSWORD"),
        (f"{STAGE}-callback", "memory limit"),
        (f"{STAGE}-balancer", "image"),
        (f"{STAGE}-app", "replicas"),
        (f"{STAGE}-migrate", "service"),
        (f"{STAGE}-postgres", "setting work_mem, ALTER SYSTEM"),
    }


def check_drift(stage: Stage, release: str) -> None:
    """The drift after a change by hand, and none after the deploy that repairs it."""
    wanted = change_by_hand(stage)
    code, said = stage.play("staging_drift", release, "-e", "drift_format=json")
    expect(said.startswith("{") and said.endswith("}\n"), "the drift is JSON and nothing else", said)
    found = {(one["object"], one["what"]) for one in json.loads(said)["drift"] if one["what"] != "tasks"}
    expect(
        code == DRIFT and found == wanted, "the drift is what was changed by hand, and its code is 3", said
    )
    expect(PASSWORD not in said, "and it shows no password", said)
    stage.settings = SCHEDULE
    code, said, _ = stage.deploy(release)
    expect(code == 0, "a deploy repairs it, and removes what was switched off meanwhile", said)
    left = {name.removeprefix(f"{STAGE}-") for name in stage.versions()} & set(WATCHERS)
    expect(not left, "monitoring is gone", left)
    code, said = stage.play("staging_drift", release)
    expect(code == 0 and "as declared" in said, "there is no drift any more", said)


def scheduled() -> list[Path]:
    """The dumps that cron took."""
    return sorted(BACKUPS.glob(f"{STAGE}-scheduled-*.dump"))


def run_schedule() -> Path:
    """Run the entry of the crontab as cron does, and return the dump."""
    lines = table().splitlines()
    (place,) = (
        number for number, line in enumerate(lines) if STAGE in line and line.startswith("#Ansible: ")
    )
    *when, command = lines[place + 1].split(" ", 5)
    expect(when == ["15", "3", "*", "*", "*"], "the entry of the crontab has its time", lines[place + 1])
    environment = {"HOME": str(Path.home()), "SHELL": "/bin/sh", "LOGNAME": "root", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(  # noqa: S603 - the playbook wrote it
        ["/bin/sh", "-c", command.replace("\\%", "%")],
        env=environment,
        cwd=Path.home(),
        text=True,
        capture_output=True,
        check=False,
    )
    said = done.stdout + done.stderr
    expect(done.returncode == 0 and not said, "run as cron runs it, it takes a backup and says nothing", said)
    expect(len(scheduled()) == 1, "one backup is kept, as declared", scheduled())
    return scheduled()[0]


def copy(dump: Path, target: Path) -> Path:
    """Copy a dump with its checksum."""
    for end in ("", ".sha256"):
        shutil.copy(f"{dump}{end}", f"{target}{end}")
    return target


def check_backups(stage: Stage, release: str) -> None:
    """Scheduled backups, the drill, and the restore; what is refused changes nothing."""

    def play(name: str, dump: Path | None, *arguments: str) -> tuple[int, str]:
        source = ("-e", f"backup_source={dump}") if dump else ()
        return stage.play(name, release, *source, *arguments)

    def ids() -> set[Any]:
        return {task["ID"] for task in stage.tasks("app")}

    stage.sql("CREATE TABLE stranger (x int)")
    strange = copy(run_schedule(), stage.lab.folder / "strange.dump")
    stage.sql("DROP TABLE stranger")
    stage.sql(ADD_USER)
    expect(stage.sql(USERS) == "1", "there is a row")
    newest = run_schedule()
    stage.sql(ADD_USER.replace("a@b", "c@d"))

    tasks, server = ids(), stage.sql("SELECT oid FROM pg_database WHERE datname = current_database()")
    code, said = play("staging_drill", None, "-e", "data_format=json")
    told = json.loads(said)
    expect(code == 0 and told["file"] == str(newest), "the drill restores the newest backup", said)
    expect(told["rows"]["public.users"] == 1, "and finds its rows", said)
    damaged = copy(newest, stage.lab.folder / "damaged.dump")
    damaged.write_bytes(damaged.read_bytes()[:-1])
    code, said = play("staging_drill", damaged)
    expect(code != 0 and "is damaged" in said, "it fails with one that is damaged", said)
    code, said = play("staging_restore", newest)
    expect(code != 0 and "was not typed" in said, "a restore wants to be confirmed", said)
    code, said = play("staging_restore", strange, *CONFIRMED)
    expect(code != 0 and "stranger" in said, "and refuses what the application does not have", said)
    databases = stage.sql(
        "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database WHERE NOT datistemplate"
    )
    same = stage.sql("SELECT oid FROM pg_database WHERE datname = current_database()") == server
    expect(same and databases == "dashtam postgres", "the live database is as it was, and alone", databases)
    expect(stage.sql(USERS) == "2" and ids() == tasks, "with its rows, and the app ran on", ids())

    code, said = play("staging_restore", newest, *CONFIRMED, "-e", "data_format=json")
    expect(code == 0 and json.loads(said), "a restore succeeds", said)
    expect(stage.sql(USERS) == "1", "and puts the backup back", said)
    expect(len(ids()) == len(tasks), "the app runs again", ids())
    answers, took = until_200(stage.lab, stage.lab.nodes)
    expect(only_200(answers), f"and answers on all nodes after {took:.0f} s: {answers}", answers)
    expect(
        list((BACKUPS / "snapshots" / STAGE).glob("auto-restore-*.dump")), "what was replaced is a snapshot"
    )
