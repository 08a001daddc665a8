"""What is changed by hand is found, as exactly that line, and repaired by the next run.

On an instance of its own. It takes minutes, as each change costs a look, a run and another look.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
import yaml

from tests.by_path import ROOT
from tests.provisioning import playbook

INSTANCE = "drift"
OFFSET = 560
COPY = ("-e", f"dashtam_instance={INSTANCE} dashtam_port_offset={OFFSET}")
EVERY = [argument for name in ("dev", "test", "ci") for argument in ("-i", f"inventories/{name}")]
NAME = f"{INSTANCE}-dev"
APP, CALLBACK, POSTGRES, REDIS = (f"{NAME}-{service}" for service in ("app", "callback", "postgres", "redis"))
NETWORK = f"{NAME}-network"
NONE = f"{NAME}: as declared"
ENV_FILE = ROOT / f"env/.env.dev.{INSTANCE}"
SECRETS = ROOT / f"env/.secrets.dev.{INSTANCE}.yml"

# All that any run has printed, for the last test.
PRINTED: list[str] = []


def play(*arguments: str, code: int = 0, **environment: str) -> str:
    output = playbook.finish(playbook.start(*COPY, *arguments, **environment), code)
    PRINTED.append(output)
    return output


def drift(limit: str = "dev") -> list[str]:
    """Return the lines; the exit code has to fit them."""
    process = playbook.start(*COPY, *EVERY, "playbooks/drift.yml", "--limit", limit)
    output, _ = process.communicate()
    PRINTED.append(output)
    lines = output.splitlines()
    assert process.returncode == (0 if all(line.endswith(": as declared") for line in lines) else 3), output
    return lines


def up(*arguments: str, code: int = 0) -> str:
    return play("playbooks/dev.yml", *arguments, code=code)


def by_hand(*words: str) -> str:
    command = ["docker", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout


def sql(statements: str) -> str:
    command = ("exec", "-u", "postgres", POSTGRES, "psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-U", "postgres")
    return by_hand(*command, *(word for one in statements.split(";") for word in ("-c", one)))


def redis(*words: str) -> str:
    return by_hand("exec", REDIS, "redis-cli", "-e", *words).strip()


def inspected(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(by_hand("inspect", name))[0]
    return found


def make_again(
    api: docker.APIClient, name: str, change: Callable[[dict[str, Any], dict[str, Any]], None]
) -> None:
    """Replace a container as `docker run` would, with its own labels, the declaration's hash among them.

    :param change: gets Config and HostConfig, as inspect says them, to change in place.
    """
    found = inspected(name)
    config, host = found["Config"], found["HostConfig"]
    service = config["Labels"]["dashtam.service"]
    change(config, host)
    endpoint = api.create_endpoint_config(aliases=[service])
    api.remove_container(name, force=True)
    made = api.create_container(
        config["Image"],
        config["Cmd"],
        name=name,
        user=config["User"],
        environment=config["Env"],
        working_dir=config["WorkingDir"],
        labels=config["Labels"],
        healthcheck=config["Healthcheck"],
        stop_timeout=config["StopTimeout"],
        host_config=host,
        networking_config=api.create_networking_config({NETWORK: endpoint}),
    )
    api.start(made)


@pytest.fixture(scope="module")
def api() -> Iterator[docker.APIClient]:
    client = docker.from_env(timeout=120).api
    yield client
    client.close()


@pytest.fixture(scope="module", autouse=True)
def environment() -> Iterator[None]:
    try:
        up()
        yield
    finally:
        by_hand("network", "prune", "-f", "--filter", f"label={INSTANCE}.extra")
        for name in ("dev", "test", "ci"):
            confirmed = ("-e", f"clean_confirm={name} clean_backup=false")
            play(*EVERY, "playbooks/clean.yml", "--limit", name, *confirmed)
        for path in (ROOT / "env").glob(f".*.{INSTANCE}*"):
            path.unlink()


@pytest.fixture
def repaired() -> Iterator[None]:
    """After what a test has done: one run repairs it all."""
    yield
    up()
    assert drift() == [NONE]


def declared_port(name: str) -> tuple[str, str]:
    ((inside, (binding,)),) = inspected(name)["HostConfig"]["PortBindings"].items()
    return inside, binding["HostPort"]


def test_what_has_just_been_started_is_as_declared() -> None:
    assert drift() == [NONE]


def test_as_json_alone_and_other_environments_only_where_they_are() -> None:
    every = ("playbooks/drift.yml", "-e", "drift_format=json")
    assert json.loads(play(*EVERY, *every)) == {"compared": [NAME], "drift": []}
    missing = {
        "object": f"{INSTANCE}-test",
        "what": "environment",
        "declared": "present",
        "running": "missing",
    }
    shown = play(*EVERY, *every, "--limit", "dev,test", code=3)
    assert json.loads(shown) == {"compared": [NAME], "drift": [missing]}


def test_an_engine_that_does_not_answer_is_no_answer() -> None:
    said = play(*EVERY, "playbooks/drift.yml", "--limit", "dev", code=2, DOCKER_HOST="unix:///nowhere")
    assert "The Docker engine does not answer" in said
    assert "as declared" not in said


def test_none_after_a_restart_a_backup_and_a_migration(tmp_path: Path) -> None:
    by_hand("restart", POSTGRES, REDIS, APP, CALLBACK)
    up()
    by_hand("exec", APP, "python", "-m", "src.core.migrate", "downgrade")
    by_hand("exec", APP, "python", "-m", "src.core.migrate", "upgrade")
    play("playbooks/backup.yml", "--limit", "dev", "-e", f"backup_directory={tmp_path}")
    assert drift() == [NONE]


@pytest.mark.usefixtures("repaired")
def test_docker_update() -> None:
    limits = ("--memory=300m", "--memory-swap=600m", "--cpus=1.5", "--pids-limit=500", "--cpu-shares=512")
    by_hand("update", "--restart=always", *limits, REDIS)
    assert drift() == [
        f"{REDIS}: restart policy: declared unless-stopped, running always",
        f"{REDIS}: memory limit: declared no limit, running 300M",
        f"{REDIS}: cpu limit: declared no limit, running 1.5",
        f"{REDIS}: pids limit: declared no limit, running 500",
        f"{REDIS}: cpu shares: declared none, running 512",
    ]


@pytest.mark.usefixtures("repaired")
def test_networks() -> None:
    other = f"{INSTANCE}-other-network"
    by_hand("network", "create", "--label", f"{INSTANCE}.extra", other)
    by_hand("network", "connect", other, APP)
    by_hand("network", "disconnect", NETWORK, CALLBACK)
    by_hand("network", "disconnect", NETWORK, REDIS)
    by_hand("network", "connect", "--alias", "cache", NETWORK, REDIS)
    assert drift() == [
        f"{APP}: network {other}: declared none, running connected",
        f"{CALLBACK}: network {NETWORK}: declared connected, running none",
        f"{CALLBACK}: alias callback: declared present, running none",
        f"{REDIS}: alias redis: declared present, running none",
        f"{REDIS}: alias cache: declared none, running present",
    ]


@pytest.mark.usefixtures("repaired")
def test_stopped_paused_and_removed() -> None:
    by_hand("stop", REDIS)
    by_hand("pause", APP)
    by_hand("rm", "-f", CALLBACK)
    assert drift() == [
        f"{APP}: state: declared running, running paused",
        f"{CALLBACK}: container: declared present, running missing",
        f"{REDIS}: state: declared running, running exited",
    ]


def test_a_container_made_again_by_hand_just_as_it_was_is_no_drift(api: docker.APIClient) -> None:
    for name in (CALLBACK, REDIS):
        make_again(api, name, lambda config, host: None)
    assert drift() == [NONE]


@pytest.mark.usefixtures("repaired")
def test_a_container_made_again_by_hand_otherwise(api: docker.APIClient, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    before = inspected(CALLBACK)["Config"]
    inside, port = declared_port(CALLBACK)
    level = dict(pair.split("=", 1) for pair in before["Env"])["LOG_LEVEL"]

    def change(config: dict[str, Any], host: dict[str, Any]) -> None:
        changed = {"LOG_LEVEL": "LOUD", "RELAY_TOKEN": "canary-by-hand", "CALLBACK_PORT": None}
        kept = [pair for pair in config["Env"] if pair.split("=")[0] not in changed]
        config["Env"] = [*kept, *(f"{name}={value}" for name, value in changed.items() if value), "MORE=1"]
        config["Cmd"] = ["sleep", "infinity"]
        config["User"], config["WorkingDir"], config["StopTimeout"] = "10002:10002", "/tmp", 3  # noqa: S108
        config["Labels"] |= {"note": "mine", "dashtam.certificates": "none"}
        config["Healthcheck"] |= {"Test": ["CMD", "true"], "Interval": 60_000_000_000}
        host["PortBindings"] = {inside: [{"HostIp": "127.0.0.1", "HostPort": str(int(port) + 5)}]}
        host["Mounts"] = [mount for mount in host["Mounts"] if mount["Target"] not in ("/tmp", "/app/src")]  # noqa: S108
        host["Binds"] = [f"{ROOT}/src:/app/src:ro", f"{tmp_path}:/more"]
        host["Tmpfs"] = {"/tmp": "size=16m,mode=1777"}  # noqa: S108
        host["RestartPolicy"] = {"Name": "no"}
        host["ReadonlyRootfs"] = False
        host["CapDrop"], host["CapAdd"] = ["NET_RAW"], ["NET_ADMIN"]
        host["SecurityOpt"] = []
        host["ShmSize"] = 128 * 1024**2
        host["Memory"] = 512 * 1024**2
        host["LogConfig"] = {"Type": "json-file", "Config": {"max-size": "1m"}}
        host["ExtraHosts"] = ["example.org:127.0.0.1"]

    make_again(api, CALLBACK, change)
    lines = drift()
    health = "curl -fsS --max-time 4 --cacert /app/certs/ca.pem https://localhost:8182/health"
    fingerprint = before["Labels"]["dashtam.certificates"]
    assert sorted(lines) == sorted(
        f"{CALLBACK}: {line}"
        for line in (
            "command: declared python -m src.callback --reload, running sleep infinity",
            f"user: declared {before['User']}, running 10002:10002",
            "working folder: declared /app, running /tmp",
            "stop timeout: declared 10s, running 3s",
            "restart policy: declared unless-stopped, running no",
            "memory limit: declared no limit, running 512M",
            "read-only root: declared yes, running no",
            "shm size: declared 64M, running 128M",
            f"health check: declared CMD {health}, running CMD true",
            "health check's interval: declared 10s, running 60s",
            "dropped capability ALL: declared present, running none",
            "dropped capability NET_RAW: declared none, running present",
            "added capabilities: declared none, running NET_ADMIN",
            "security option no-new-privileges:true: declared present, running none",
            "log option max-size: declared 10m, running 1m",
            "log option max-file: declared 3, running none",
            "label note: declared none, running mine",
            f"label dashtam.certificates: declared {fingerprint}, running none",
            f"port {inside}: declared 127.0.0.1:{port}, running 127.0.0.1:{int(port) + 5}",
            "mount /tmp: declared tmpfs, 512M, mode 1777, running tmpfs, 16M, mode 1777",
            f"mount /app/src: declared bind {ROOT}/src, running bind {ROOT}/src, read-only",
            f"mount /more: declared none, running bind {tmp_path}",
            "extra hosts: declared none, running example.org:127.0.0.1",
            "env CALLBACK_PORT: declared 8182, running none",
            f"env LOG_LEVEL: declared {level}, running LOUD",
            "env MORE: declared none, running 1",
            "env RELAY_TOKEN: declared ***, running another ***",
        )
    )


@pytest.mark.usefixtures("repaired")
def test_another_image_and_a_label_of_ours_that_is_gone(api: docker.APIClient) -> None:
    declared, tag = inspected(REDIS)["Config"]["Image"], f"{INSTANCE}-by-hand:latest"
    ids = [json.loads(by_hand("image", "inspect", declared))[0]["Id"], by_hand("commit", REDIS, tag).strip()]
    was, now = (name.removeprefix("sha256:")[:12] for name in ids)

    def change(config: dict[str, Any], host: dict[str, Any]) -> None:
        config["Image"] = tag

    try:
        make_again(api, REDIS, change)
        assert drift() == [f"{REDIS}: image: declared {declared} ({was}), running {tag} ({now})"]
        up()
    finally:
        by_hand("image", "rm", "-f", tag)


@pytest.mark.usefixtures("repaired")
def test_a_network_made_again_by_hand_without_a_route_out() -> None:
    labels = json.loads(by_hand("network", "inspect", NETWORK))[0]["Labels"]
    services = {name: name.removeprefix(f"{NAME}-") for name in (APP, CALLBACK, POSTGRES, REDIS)}
    for name in services:
        by_hand("network", "disconnect", NETWORK, name)
    by_hand("network", "rm", NETWORK)
    said = [word for name, value in labels.items() for word in ("--label", f"{name}={value}")]
    by_hand("network", "create", "--internal", *said, NETWORK)
    for name, alias in services.items():
        by_hand("network", "connect", "--alias", alias, NETWORK, name)
    assert drift() == [f"{NETWORK}: internal: declared no, running yes"]


def test_a_volumes_labels_are_said_and_left_to_a_person() -> None:
    volume = f"{INSTANCE}_redis_dev_data"
    labels = json.loads(by_hand("volume", "inspect", volume))[0]["Labels"] | {"note": "mine"}
    by_hand("rm", "-f", REDIS)
    by_hand("volume", "rm", volume)
    said = [word for name, value in labels.items() for word in ("--label", f"{name}={value}")]
    by_hand("volume", "create", *said, volume)
    up()
    line = f"{volume}: label note: declared none, running mine (a run leaves that to you)"
    assert drift() == [line]
    by_hand("rm", "-f", REDIS)
    by_hand("volume", "rm", volume)
    assert drift() == [
        f"{REDIS}: container: declared present, running missing",
        f"{volume}: volume: declared present, running missing",
    ]
    up()
    assert drift() == [NONE]


def test_what_carries_our_labels_and_nobody_declares() -> None:
    labels = inspected(REDIS)["Config"]["Labels"] | {"dashtam.service": "more"}
    said = [word for name, value in labels.items() for word in ("--label", f"{name}={value}")]
    more = f"{NAME}-more"
    by_hand("run", "-d", "--name", more, "--network", "none", *said, inspected(REDIS)["Image"])
    try:
        assert drift() == [f"{more}: container: declared none, running present (a run leaves that to you)"]
    finally:
        by_hand("rm", "-f", more)


@pytest.mark.usefixtures("repaired")
def test_files() -> None:
    key, ca_key = ROOT / "certs/key.pem", ROOT / "certs/private/ca-key.pem"
    for path in (ENV_FILE, SECRETS, key, ca_key):
        path.chmod(0o640)
    (ROOT / "certs/ca.pem").chmod(0o600)
    assert drift() == [
        f"env/.secrets.dev.{INSTANCE}.yml: mode: declared 0600, running 0640",
        f"env/.env.dev.{INSTANCE}: mode: declared 0600, running 0640",
        "certs/ca.pem: mode: declared 0644, running 0600",
        "certs/key.pem: mode: declared 0600, running 0640",
        "certs/private/ca-key.pem: mode: declared 0600, running 0640",
    ]
    up()
    ENV_FILE.unlink()
    assert drift() == [f"env/.env.dev.{INSTANCE}: file: declared present, running missing"]


@pytest.mark.usefixtures("repaired")
def test_an_edited_env_file_is_said_by_variable_and_stops_a_run() -> None:
    text = ENV_FILE.read_text()
    level = re.search("^LOG_LEVEL=(.*)$", text, re.MULTILINE)[1]  # type: ignore[index]
    edited = re.sub("^SECRET_KEY=.*$", "SECRET_KEY=canary-by-hand", text, flags=re.MULTILINE)
    ENV_FILE.write_text(edited.replace(f"LOG_LEVEL={level}", "LOG_LEVEL=LOUD") + "MORE=1\n")
    note = "(edited by hand: a run stops and says what to do)"
    name = f"env/.env.dev.{INSTANCE}"
    assert drift() == [
        f"{name}: env LOG_LEVEL: declared {level}, running LOUD {note}",
        f"{name}: env MORE: declared none, running 1 {note}",
        f"{name}: env SECRET_KEY: declared ***, running another *** {note}",
    ]
    assert "was edited by hand" in up(code=2)
    ENV_FILE.write_text(text)


@pytest.mark.usefixtures("repaired")
def test_postgres() -> None:
    sql(
        "ALTER ROLE dashtam_app SUPERUSER CREATEDB PASSWORD 'canary-by-hand';"
        "ALTER ROLE dashtam_user NOLOGIN; GRANT pg_read_all_data TO dashtam_app;"
        "ALTER ROLE postgres PASSWORD 'canary-by-hand';"
        "GRANT CONNECT ON DATABASE dashtam TO PUBLIC; REVOKE CONNECT ON DATABASE dashtam FROM dashtam_app;"
        "ALTER DATABASE dashtam SET dashtam.disposable = 'on'; ALTER DATABASE dashtam SET work_mem = '1MB';"
        "ALTER ROLE dashtam_app IN DATABASE dashtam SET statement_timeout = '5s';"
        "ALTER SYSTEM SET work_mem = '2MB'; ALTER SYSTEM SET max_connections = 50; SELECT pg_reload_conf()"
    )
    assert drift() == [
        f"{POSTGRES}: {line}"
        for line in (
            "role dashtam_user: login: declared yes, running no",
            "role dashtam_app: superuser: declared no, running yes",
            "role dashtam_app: createdb: declared no, running yes",
            "role dashtam_app: member of pg_read_all_data: declared no, running yes",
            "role postgres: password: declared none, running ***",
            "role dashtam_app: password: declared ***, running another",
            "database dashtam: CONNECT of PUBLIC: declared no, running yes",
            "database dashtam: CONNECT of dashtam_app: declared yes, running no",
            "setting dashtam.disposable, database dashtam: declared none, running on",
            "setting work_mem, database dashtam: declared none, running 1MB",
            "setting statement_timeout, database dashtam, role dashtam_app: declared none, running 5s",
            "setting max_connections, ALTER SYSTEM: declared 100, running 50",
            "setting work_mem, ALTER SYSTEM: declared 4096kB, running 2MB",
        )
    ]


@pytest.mark.usefixtures("repaired")
def test_what_postgres_reads_only_when_it_starts() -> None:
    sql("ALTER SYSTEM SET max_connections = 50")
    by_hand("restart", POSTGRES)
    up()
    assert sql("SHOW max_connections") == "100\n"
    by_hand("exec", POSTGRES, "sh", "-c", "echo 'host all all all trust' >>/tmp/postgresql-hba.conf")
    line = "pg_hba.conf: declared nothing else, running host all all all trust"
    assert drift() == [f"{POSTGRES}: {line}"]


@pytest.mark.usefixtures("repaired")
def test_a_role_and_a_database_that_are_gone() -> None:
    sql("DROP DATABASE dashtam WITH (FORCE); DROP ROLE dashtam_app")
    assert drift() == [
        f"{POSTGRES}: role dashtam_app: declared present, running missing",
        f"{POSTGRES}: database dashtam: declared present, running missing",
    ]


@pytest.mark.usefixtures("repaired")
def test_redis() -> None:
    redis("SET", "kept", "yes")
    redis("CONFIG", "SET", "maxmemory", "10mb", "appendonly", "no", "save", "")
    assert drift() == [
        f"{REDIS}: setting appendonly: declared yes, running no",
        f"{REDIS}: setting maxmemory: declared 0, running 10485760",
        f"{REDIS}: setting save: declared 3600 1 300 100 60 10000, running none",
    ]
    up()
    assert redis("GET", "kept") == "yes"
    redis("CONFIG", "SET", "requirepass", "canary-by-hand")
    assert drift() == [f"{REDIS}: server: declared answers, running NOAUTH Authentication required."]


@pytest.mark.parametrize("name", ["test", "ci"])
def test_an_environment_for_tests_has_none_once_it_is_up(name: str) -> None:
    play("-i", f"inventories/{name}", "playbooks/test.yml", "-e", '{"test_steps": ["init"]}')
    assert drift(name) == [f"{INSTANCE}-{name}: as declared"]


def test_no_secret_was_printed() -> None:
    secrets = [value for path in (ROOT / "env").glob(f".secrets.*.{INSTANCE}.yml") for value in values(path)]
    assert len(secrets) >= 4
    assert [secret for secret in [*secrets, "canary-by-hand"] if secret in "".join(PRINTED)] == []


def values(path: Path) -> list[str]:
    return list(yaml.safe_load(path.read_text()).values())
