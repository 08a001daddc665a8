"""What runs of the same environment leave behind: two at a time, killed ones, and what was switched off."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import docker
import pytest
import yaml

from tests.by_path import ROOT
from tests.drift import debugger
from tests.provisioning import playbook

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
    found = client.containers.list(all=True, filters={"label": "dashtam.instance=runs"})
    return {container.name: container.status for container in found}


def as_declared() -> None:
    """One more run finds nothing to do."""
    assert "changed=0" in playbook.finish(playbook.start(*DEV))
    names = ("app", "callback", "postgres", "redis")
    assert states() == {f"runs-dev-{name}": "running" for name in names}


def killed(process: subprocess.Popen[str]) -> str:
    """Kill a run, not its workers, once it has begun to change containers."""
    assert process.stdout is not None
    printed = ""
    for line in process.stdout:
        printed += line
        if line.startswith("  container "):
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
        reason = "a task of env/local.dev.runs.tasks.yml failed: Fail: on purpose"
        assert f"runs-dev: The environment is up, but {reason}\n" in said
        path.write_text("- name: Ask\n  ansible.builtin.comand: true\n")
        said = playbook.finish(playbook.start(*DEV), 2)
        (line,) = (line for line in said.splitlines() if "comand" in line)
        assert line.startswith("runs-dev: env/local.dev.runs.tasks.yml:1: couldn't resolve module/action ")
    finally:
        path.unlink()
    as_declared()


def test_a_debugger_stops_the_app_where_it_is_told_to() -> None:
    source = (ROOT / "src/main.py").read_text().splitlines()
    line = next(number for number, text in enumerate(source, 1) if text.strip() == "return Health()")
    port = 16000 + 580
    playbook.finish(playbook.start(*DEV, "-e", f"app_debug_port={port}"))
    server = debugger.Session(port, {"subProcess": True})
    server.go_on()
    # With --reload a child of the server serves.
    worker = debugger.Session(port, server.wait_for("debugpyAttach"))
    worker.break_at("/app/src/main.py", line)
    worker.wait_for("process")
    url = f"https://localhost:{8000 + 580}/health"
    command = ["curl", "-sS", "--max-time", "60", "--cacert", str(ROOT / "certs/ca.pem"), url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as asked:
        assert worker.wait_for("stopped")["reason"] == "breakpoint"
        assert asked.poll() is None
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


def test_a_run_killed_while_it_replaces_containers_is_healed_by_the_next() -> None:
    killed(playbook.start(*DEV, "-e", "LOG_LEVEL=DEBUG"))
    # At once: the worker of the killed run is still at it.
    playbook.finish(playbook.start(*DEV))
    as_declared()


def test_a_run_killed_while_it_creates_containers_is_healed_by_the_next() -> None:
    clean()
    killed(playbook.start(*DEV))
    playbook.finish(playbook.start(*DEV))
    as_declared()
