"""What runs of the same environment leave behind: two at a time, killed ones, and what was switched off."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
import yaml

from tests.by_path import ROOT
from tests.drift import debugger
from tests.provisioning import playbook
from tests.verify.rounds import rounds

COPY = "dashtam_instance=runs dashtam_port_offset=580"
DEV = ("-e", COPY, "playbooks/dev.yml")
OVERTAKEN = "Another run has changed these containers since they were compared. Run this again."


def clean() -> None:
    confirmed = "clean_confirm=dev clean_backup=false"
    playbook.finish(
        playbook.start("-e", COPY, "playbooks/clean.yml", "--limit", "dev", "-e", confirmed), code=0
    )
    for path in (ROOT / "env").glob(".*.runs*"):
        path.unlink()


@pytest.fixture(scope="module", autouse=True)
def _cleaned() -> Iterator[None]:
    yield
    clean()


def states() -> dict[str, str]:
    client = docker.from_env()
    labels = ["dashtam.instance=runs", "dashtam.environment=dev"]
    found = client.containers.list(all=True, filters={"label": labels})
    return {container.name: container.status for container in found}


def as_declared() -> None:
    """One more run finds nothing to do."""
    assert "changed=0" in playbook.finish(playbook.start(*DEV))
    names = ("app", "callback", "postgres", "redis")
    assert states() == {f"runs-dev-{name}": "running" for name in names}


def killed(process: subprocess.Popen[str], after: str = "  container ", seconds: float = 0) -> str:
    """Kill a run, not its workers, once it has said this and so much time has passed."""
    assert process.stdout is not None
    printed = ""
    for line in process.stdout:
        printed += line
        if line.startswith(after):
            time.sleep(seconds)
            process.kill()
            break
    process.stdout.close()
    assert process.wait() == -9, printed
    return printed


def test_two_at_the_same_time() -> None:
    both = [playbook.start(*DEV) for _ in range(2)]
    for process in both:
        output, _ = process.communicate()
        assert process.returncode == 0 or OVERTAKEN in output, output
    assert {process.returncode for process in both} >= {0}
    as_declared()


def test_what_is_switched_off_is_removed_by_the_run_that_changes_the_rest() -> None:
    playbook.finish(playbook.start(*DEV, "-e", "dashtam_services=fake_schwab,mail"))
    assert {"runs-dev-fake-schwab", "runs-dev-mail"} <= states().keys()
    playbook.finish(playbook.start(*DEV))
    as_declared()


def test_a_persons_own_tasks_run_once_all_is_ready() -> None:
    ask = "docker exec {{ app_name }} curl -fsS --cacert /app/certs/ca.pem https://localhost:8000/ready"
    tasks = [{"name": "Ask", "ansible.builtin.command": ask}]
    path = ROOT / "env/local.dev.runs.tasks.yml"
    try:
        path.write_text(yaml.safe_dump(tasks))
        assert "changed=1 " in playbook.finish(playbook.start(*DEV))
        path.write_text(
            yaml.safe_dump([*tasks, {"name": "Fail", "ansible.builtin.fail": {"msg": "on purpose"}}])
        )
        said = playbook.finish(playbook.start(*DEV), 2)
        assert (
            "\nruns-dev: on purpose\n\nruns-dev: The environment is up, but a task of"
            " env/local.dev.runs.tasks.yml failed: Fail; the reason is above.\n" in said
        )
        path.write_text("- name: Ask\n  ansible.builtin.comand: true\n")
        said = playbook.finish(playbook.start(*DEV), 2)
        (line,) = (line for line in said.splitlines() if "comand" in line)
        assert line.startswith("runs-dev: env/local.dev.runs.tasks.yml:1: couldn't resolve module/action ")
    finally:
        path.unlink()
    as_declared()


TEST = ("-e", COPY, "-i", "inventories/test")
TEST_TASKS = ROOT / "env/local.test.runs.tasks.yml"


@pytest.fixture(scope="module")
def _test_environment() -> Iterator[None]:
    yield
    TEST_TASKS.unlink(missing_ok=True)
    playbook.finish(playbook.start(*TEST, "playbooks/clean.yml", "--limit", "test"))


@pytest.mark.usefixtures("_test_environment")
def test_a_persons_own_tasks_come_after_what_empties_the_test_database() -> None:
    command = "docker exec -u postgres runs-test-postgres psql -qAtX -U postgres -d dashtam_test -c"
    fill = f"{command} '{{{{ item }}}}'"
    tasks = [{"name": "Fill", "ansible.builtin.command": fill, "loop": ["CREATE TABLE mine ()"]}]
    TEST_TASKS.write_text(yaml.safe_dump(tasks))
    run = playbook.start(*TEST, "playbooks/test.yml", "-e", '{"test_steps": ["init"]}')
    assert "WARNING" not in playbook.finish(run)
    found = "SELECT count(*) FROM pg_tables WHERE tablename IN ('mine', 'users')"
    assert subprocess.check_output([*command.split(), found], text=True) == "2\n"


@pytest.mark.usefixtures("_test_environment")
def test_two_test_runs_take_turns(tmp_path: Path) -> None:
    """The second would drop the database, and remove the reports, of tests that are running."""
    begun, gate = tmp_path / "begun", tmp_path / "gate"
    tasks = [
        {"name": "Begin", "ansible.builtin.file": {"path": str(begun), "state": "touch"}},
        {"name": "Be at work", "ansible.builtin.wait_for": {"path": str(gate), "timeout": 60}},
    ]
    TEST_TASKS.write_text(yaml.safe_dump(tasks))
    run = (*TEST, "playbooks/test.yml", "-e", '{"test_steps": ["init"]}')
    first = playbook.start(*run)
    while not begun.exists():
        assert first.poll() is None
        time.sleep(0.1)
    second = playbook.start(*run)
    until(second, "Another run is changing or testing these containers. Waiting for it to end ...")
    assert first.poll() is None
    gate.touch()
    assert "failed=0" in playbook.finish(first)
    assert "failed=0" in playbook.finish(second)


def stopped(
    server: debugger.Session, port: int, child: dict[str, Any], line: int, command: list[str]
) -> tuple[debugger.Session, subprocess.Popen[str]]:
    """The session of the child that serves, and the request that it holds at the breakpoint.

    The other child, the resource tracker of Python's multiprocessing, is announced first now and then.
    """
    while True:
        worker = debugger.Session(port, child)
        worker.break_at("/app/src/main.py", line)
        worker.wait_for("process")
        asked = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            asked.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            return worker, asked
        worker.close()
        child = server.wait_for("debugpyAttach")


def test_a_debugger_stops_the_app_where_it_is_told_to() -> None:
    source = (ROOT / "src/main.py").read_text().splitlines()
    line = next(number for number, text in enumerate(source, 1) if text.strip() == "return Health()")
    port = 16000 + 580
    playbook.finish(playbook.start(*DEV, "-e", f"app_debug_port={port}"))
    server = debugger.Session(port, {"subProcess": True})
    server.go_on()
    # With --reload a child of the server serves.
    try:
        child = server.wait_for("debugpyAttach")
    except TimeoutError:
        # debugpy may not have waited for us with the first one; a reload starts another.
        server.close()
        server = debugger.Session(port, {"subProcess": True})
        server.go_on()
        (ROOT / "src/main.py").touch()
        child = server.wait_for("debugpyAttach")
    url = f"https://localhost:{8000 + 580}/health"
    command = ["curl", "-sS", "--max-time", "120", "--cacert", str(ROOT / "certs/ca.pem"), url]
    worker, asked = stopped(server, port, child, line, command)
    with asked:
        assert worker.wait_for("stopped")["reason"] == "breakpoint"
        worker.close()
        server.close()
        assert asked.communicate(timeout=60)[0] == '{"status":"ok"}'
    playbook.finish(playbook.start(*DEV))
    as_declared()


def psql(statement: str) -> str:
    command = ["docker", "exec", "-u", "postgres", "runs-dev-postgres", "psql", "-qAtX", "-U", "postgres"]
    return subprocess.check_output([*command, "-d", "dashtam", "-c", statement], text=True)


def test_new_secrets_keep_the_data() -> None:
    path = ROOT / "env/.secrets.dev.runs.yml"
    before = yaml.safe_load(path.read_text())
    psql("CREATE TABLE kept AS SELECT 42 AS answer")
    output = playbook.finish(playbook.start("-e", COPY, "playbooks/rotate.yml", "-v"))
    after = yaml.safe_load(path.read_text())
    assert after.keys() == before.keys()
    assert {name for name in before if after[name] == before[name]} == set()
    # A keyring would have a comma: the old key is gone.
    assert len(after["ENCRYPTION_KEY"]) == len(before["ENCRYPTION_KEY"])
    assert [value for value in (before | after).values() if value in output] == []
    assert psql("SELECT answer FROM kept") == "42\n"
    psql("DROP TABLE kept")
    as_declared()


# Inside the app's container: how each of these clients fares with each server.
CLIENTS = """
import asyncio, dataclasses, json, os, socket, ssl
import asyncpg, redis
from src.core.config import OwnerSettings, Settings, load
from src.core.redis import tls_arguments

owner, settings = load(OwnerSettings).owner, load(Settings)
strangers = ssl.create_default_context(cafile="/app/certs/cert.pem")

async def postgres(host, tls):
    login = {"user": owner.username, "password": owner.password, "database": owner.database}
    connection = await asyncpg.connect(host=host, port=owner.port, ssl=tls, **login)
    await connection.close()

def of_redis(scheme="rediss", host="redis", **arguments):
    url = settings.redis_url.get_secret_value().replace("rediss:", f"{scheme}:")
    redis.Redis.from_url(url.replace("@redis:", f"@{host}:"), **arguments).ping()

verified = tls_arguments(settings)
clients = {
    "postgres": lambda: asyncio.run(postgres(owner.host, owner.tls)),
    "postgres in plain text": lambda: asyncio.run(postgres(owner.host, False)),
    "postgres by another CA": lambda: asyncio.run(postgres(owner.host, strangers)),
    "postgres by another name": lambda: asyncio.run(postgres(socket.gethostbyname(owner.host), owner.tls)),
    "redis": lambda: of_redis(**verified),
    "redis in plain text": lambda: of_redis("redis"),
    "redis by another CA": lambda: of_redis(**verified | {"ssl_ca_certs": "/app/certs/cert.pem"}),
    "redis by another name": lambda: of_redis(host=socket.gethostbyname("redis"), **verified),
}
said = {}
for name, connect in clients.items():
    try:
        connect()
        said[name] = "accepted"
    except (OSError, asyncpg.PostgresError, redis.RedisError) as error:
        said[name] = str(error)
print(json.dumps(said))
"""


def in_app(*command: str, options: tuple[str, ...] = (), code: int = 0) -> str:
    run = subprocess.run(
        ["docker", "exec", "-i", *options, "runs-dev-app", *command],
        input=CLIENTS,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == code, run.stdout + run.stderr
    return run.stdout + run.stderr


def test_tls_is_verified_and_nothing_else_is_accepted() -> None:
    with_tls = ("-e", f"{COPY} postgres_tls=true redis_tls=true")
    encrypted = (*with_tls, "playbooks/dev.yml")
    drift = (*with_tls, "playbooks/drift.yml", "--limit", "dev")
    printed = playbook.finish(playbook.start(*encrypted, "-vvvvv", "--diff"))
    printed += playbook.finish(playbook.start(*drift, "-vvvvv"))
    keys = {path.name: path for path in (ROOT / "certs").glob("*-key.pem")}
    assert {"postgres-key.pem", "redis-key.pem"} <= keys.keys()
    assert [name for name, path in keys.items() if path.read_text().splitlines()[1] in printed] == []
    assert "changed=0" in playbook.finish(playbook.start(*encrypted))
    said = json.loads(in_app("python", "-"))
    reasons = {
        "postgres": "accepted",
        "postgres in plain text": "no encryption",
        "postgres by another CA": "unable to get local issuer certificate",
        "postgres by another name": "IP address mismatch",
        "redis": "accepted",
        "redis in plain text": "Connection",
        "redis by another CA": "unable to get local issuer certificate",
        "redis by another name": "IP address mismatch",
    }
    assert said.keys() == reasons.keys()
    assert {name: why for name, why in reasons.items() if why not in said[name]} == {}, said
    # The app's own ways say in one line what is wrong, and do not wait for it to pass.
    refused = in_app(
        *("python", "-m", "src.core.init_db"), options=("-e", "TLS_CA_FILE=/app/certs/cert.pem"), code=1
    )
    assert "the server's certificate is refused: unable to get local issuer certificate" in refused
    who = {"email": "ann@example.org", "password": "Mellow-comet-42", "name": "Ann"}
    url = "https://localhost:8000/api/v1/auth/register"
    registered = in_app("curl", "-sS", "--cacert", "/app/certs/ca.pem", url, "--json", json.dumps(who))
    assert "ann@example.org" in registered
    # A renewal replaces the one container that has the certificate.
    before = started()
    keys["redis-key.pem"].unlink()
    playbook.finish(playbook.start(*encrypted))
    assert {name for name, when in started().items() if before[name] != when} == {"runs-dev-redis"}
    assert json.loads(in_app("python", "-")) == said
    playbook.finish(playbook.start(*DEV))
    as_declared()


USERS = "SELECT string_agg(email, ',' ORDER BY email) FROM users"


@pytest.fixture(scope="module")
def restore(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Put back a dump in which is one user."""
    folder = tmp_path_factory.mktemp("dumps")
    psql("TRUNCATE users CASCADE")
    psql("INSERT INTO users (email, password_hash, name) VALUES ('kept@x.org', 'hash', 'Ann')")
    playbook.finish(
        playbook.start(
            "-e", COPY, "playbooks/backup.yml", "--limit", "dev", "-e", f"backup_directory={folder}"
        )
    )
    (dump,) = folder.glob("*.dump")
    directory = f"backup_source={dump} backup_directory={folder}"
    return ("-e", COPY, "playbooks/restore.yml", "--limit", "dev", "-e", directory)


def until(process: subprocess.Popen[str], said: str) -> None:
    assert process.stdout is not None
    assert any(line.startswith(said) for line in process.stdout)


def test_a_run_waits_for_a_restore(restore: tuple[str, ...]) -> None:
    """It would start the app, and the app would write into a database that is about to go."""
    psql("UPDATE users SET email = 'lost@x.org'")
    restoring = playbook.start(*restore)
    until(restoring, "Restoring ")
    meanwhile = playbook.start(*DEV, "-e", "LOG_LEVEL=DEBUG")
    printed, _ = restoring.communicate()
    assert restoring.returncode == 0, printed
    assert meanwhile.poll() is None
    said, _ = meanwhile.communicate()
    assert meanwhile.returncode == 0 or OVERTAKEN in said, said
    assert "Another run is changing or testing these containers. Waiting for it to end ..." in said
    assert psql(USERS) == "kept@x.org\n"
    playbook.finish(playbook.start(*DEV))
    as_declared()


def started() -> dict[str, str]:
    client = docker.from_env()
    found = client.containers.list(filters={"label": "dashtam.instance=runs"})
    return {container.name: container.attrs["State"]["StartedAt"] for container in found}


@pytest.mark.parametrize("seconds", [kill / 2 for kill in rounds(1, 8)])
def test_a_restore_killed_half_way_is_healed_by_the_next(restore: tuple[str, ...], seconds: float) -> None:
    psql("UPDATE users SET email = 'before@x.org'")
    killed(playbook.start(*restore), "Replacing ", seconds)
    # At once: a worker may still be at it.
    playbook.finish(playbook.start(*DEV))
    assert psql(USERS) in ("before@x.org\n", "kept@x.org\n")
    playbook.finish(playbook.start(*restore))
    assert psql(USERS) == "kept@x.org\n"
    as_declared()


@pytest.mark.parametrize("seconds", [1.2 + kill / 2 for kill in rounds(1, 4)])
def test_a_down_killed_half_way_is_healed_by_the_next(seconds: float) -> None:
    process = playbook.start("-e", COPY, "playbooks/down.yml", "--limit", "dev")
    time.sleep(seconds)
    process.kill()
    process.communicate()
    playbook.finish(playbook.start(*DEV))
    as_declared()


@pytest.mark.parametrize("seconds", [kill / 2 for kill in rounds(1, 3)])
def test_a_run_killed_while_it_replaces_containers_is_healed_by_the_next(seconds: float) -> None:
    killed(playbook.start(*DEV, "-e", "LOG_LEVEL=DEBUG"), seconds=seconds)
    # At once: the worker of the killed run is still at it.
    playbook.finish(playbook.start(*DEV))
    as_declared()


@pytest.mark.parametrize("seconds", [kill / 2 for kill in rounds(1, 3)])
def test_a_run_killed_while_it_creates_containers_is_healed_by_the_next(seconds: float) -> None:
    clean()
    killed(playbook.start(*DEV), seconds=seconds)
    playbook.finish(playbook.start(*DEV))
    as_declared()
