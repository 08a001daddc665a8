"""What is changed by hand is found, as exactly that line, and repaired by the next run.

On an instance of its own: dev, whose servers keep their data, and test and ci, whose servers do not. A look
and a run cost seconds each, so much is changed before one of each.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
import yaml

from tests.by_path import ROOT
from tests.check_mode.checkout import copy_tree
from tests.provisioning import playbook
from tests.verify import hardening

INSTANCE = "drift"
OFFSET = 560
EVERY = [argument for name in ("dev", "test", "ci") for argument in ("-i", f"inventories/{name}")]
WITHOUT_TESTS = ("playbooks/test.yml", "-e", '{"test_steps": []}')
UP = {
    "dev": ("playbooks/dev.yml",),
    "test": ("-i", "inventories/test", *WITHOUT_TESTS),
    "ci": ("-i", "inventories/ci", *WITHOUT_TESTS),
}
DEV, TEST, CI = (f"{INSTANCE}-{name}" for name in UP)
SERVICES = {
    DEV: ("postgres", "app", "callback", "redis"),
    TEST: ("postgres", "app", "callback", "fake-schwab", "redis"),
    CI: ("postgres", "app", "callback", "fake-schwab", "redis"),
}
APP_USER = (
    "on sanitize-payload #*** ~dashtam:* resetchannels -@all +@read +@write +@connection +@transaction "
    "-@dangerous -@scripting +evalsha +script|load"
)
NONE = [f"{DEV}, {TEST}, {CI}: as declared"]
LEFT = "(a run leaves that to you)"
OTHER_NETWORK = f"{INSTANCE}-other-network"
OTHER_IMAGE = f"{INSTANCE}-by-hand:latest"
# A copy: a run of any other test would repair what is done to certs/ here, and find a change in it.
CHECKOUT = ROOT / f"reports/checkout.{INSTANCE}"
ENV_FILE = CHECKOUT / f"env/.env.dev.{INSTANCE}"
SECRETS = CHECKOUT / f"env/.secrets.dev.{INSTANCE}.yml"
# By path; what a run is to leave there.
MODES = {
    ENV_FILE: 0o600,
    SECRETS: 0o600,
    CHECKOUT / "certs/ca.pem": 0o644,
    CHECKOUT / "certs/key.pem": 0o600,
    CHECKOUT / "certs/private/ca-key.pem": 0o600,
}

SIGNAL_SERVICE = """
parent() { cut -d" " -f4 "/proc/$1/stat" 2>/dev/null; }
for folder in /proc/[0-9]*; do
    pid=${folder#/proc/}
    if [ "$(parent "$pid")" = 1 ] || [ "$(parent "$(parent "$pid")")" = 1 ]; then kill -"$0" "$pid"; fi
done
"""

# All that any run has printed, for the last test.
PRINTED: list[str] = []


def started(*arguments: str, instance: str = INSTANCE, **environment: str) -> subprocess.Popen[str]:
    own = f"dashtam_instance={instance} dashtam_port_offset={OFFSET}"
    return playbook.start(
        "-e",
        own,
        *arguments,
        folder=CHECKOUT,
        config=CHECKOUT,
        collections=CHECKOUT / "playbooks/collections",
        **environment,
    )


def play(*arguments: str, code: int = 0, instance: str = INSTANCE, **environment: str) -> str:
    output, returned = answered(started(*arguments, instance=instance, **environment))
    assert returned == code, output
    return output


def answered(process: subprocess.Popen[str]) -> tuple[str, int]:
    output, _ = process.communicate()
    PRINTED.append(output)
    return output, process.returncode


def up(*more: str) -> list[str]:
    return [play(*arguments, *more) for arguments in UP.values()]


def drift(*arguments: str) -> list[str]:
    """Return the lines; the exit code has to fit them."""
    output, code = answered(started(*EVERY, "playbooks/drift.yml", *arguments))
    lines = output.splitlines()
    assert code == (0 if all(line.endswith(": as declared") for line in lines) else 3), output
    return lines


def by_hand(*words: str) -> str:
    command = ["docker", *words]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout


def psql(name: str, *statements: str) -> str:
    command = (
        "exec",
        "-u",
        "postgres",
        f"{name}-postgres",
        "psql",
        "-qAtX",
        "-v",
        "ON_ERROR_STOP=1",
        "-U",
        "postgres",
    )
    return by_hand(*command, *(word for one in statements for word in ("-c", one)))


def redis_cli(name: str, *words: str) -> str:
    return by_hand("exec", f"{name}-redis", "sh", "/tmp/redis-admin", "-e", *words).strip()


def inspected(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(by_hand("inspect", name))[0]
    return found


def await_that(holds: Callable[[], bool], seconds: int = 120) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def restart_postgres(name: str) -> None:
    by_hand("restart", f"{name}-postgres")
    asked = ["docker", "exec", f"{name}-postgres", "pg_isready", "-q", "-h", "127.0.0.1"]
    await_that(lambda: subprocess.run(asked, check=False, capture_output=True).returncode == 0)


def settled(name: str) -> dict[str, Any]:
    """Return what the engine, PostgreSQL and Redis have of one, but for what each start makes new."""
    containers = {}
    for service in SERVICES[name]:
        found = inspected(f"{name}-{service}")
        found["Config"].pop("Hostname")
        on = found["NetworkSettings"]["Networks"]
        containers[service] = (
            found["State"]["Status"],
            found["Image"],
            found["Config"],
            found["HostConfig"],
            {network: sorted({*(has["Aliases"] or ())} - {found["Id"][:12]}) for network, has in on.items()},
        )
    network = json.loads(by_hand("network", "inspect", f"{name}-network"))[0]
    postgres = psql(
        name,
        "SELECT rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, "
        "rolbypassrls, rolconnlimit, rolvaliduntil, rolpassword IS NULL FROM pg_authid ORDER BY rolname",
        "SELECT roleid::regrole::text, member::regrole::text FROM pg_auth_members ORDER BY 1, 2",
        "SELECT datname, datdba::regrole, grantee::regrole::text, privilege_type "
        "FROM pg_database, aclexplode(datacl) ORDER BY 1, 3, 4",
        "SELECT datname, setrole::regrole::text, setconfig FROM pg_db_role_setting "
        "LEFT JOIN pg_database ON pg_database.oid = setdatabase ORDER BY 1, 2",
        "SELECT name, setting FROM pg_settings WHERE source NOT IN ('client', 'session') ORDER BY name",
        "SELECT * FROM pg_file_settings WHERE sourcefile LIKE '%auto.conf'",
        "SELECT pg_read_file(current_setting('hba_file'))",
    )
    admin = ("exec", f"{name}-redis", "sh", "/tmp/redis-admin", "-e")
    settings = by_hand(*admin, "CONFIG", "GET", "*").split("\n")[:-1]
    # Each start makes the administrator's password.
    users = [line for line in redis_cli(name, "ACL", "LIST").splitlines() if " administrator " not in line]
    return {
        "containers": containers,
        "network": [network[key] for key in ("Driver", "Internal", "Options", "Labels")],
        "postgres": postgres,
        # In an order of each server's own.
        "redis": sorted(zip(settings[::2], settings[1::2], strict=True)),
        "redis users": users,
        "ready": by_hand(
            *(
                "exec",
                f"{name}-app",
                "curl",
                "-fsS",
                "--cacert",
                "/app/certs/ca.pem",
                "https://localhost:8000/ready",
            )
        ),
    }


def make_again(
    api: docker.APIClient,
    environment: str,
    service: str,
    change: Callable[[dict[str, Any], dict[str, Any]], None],
) -> None:
    """Replace a container as `docker run` would, with its own labels, the declaration's hash among them.

    :param change: gets Config and HostConfig, as inspect says them, to change in place.
    """
    name = f"{environment}-{service}"
    found = inspected(name)
    config, host = found["Config"], found["HostConfig"]
    change(config, host)
    endpoint = api.create_endpoint_config(aliases=[service])
    api.remove_container(name, v=True, force=True)
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
        networking_config=api.create_networking_config({f"{environment}-network": endpoint}),
    )
    api.start(made)


@pytest.fixture(scope="module")
def api() -> Iterator[docker.APIClient]:
    client = docker.from_env(timeout=120).api
    yield client
    client.close()


@pytest.fixture(scope="module", autouse=True)
def declared() -> Iterator[dict[str, Any]]:
    """Bring all up; what they then are is what each repair has to come back to."""
    copy_tree(CHECKOUT)
    try:
        # With all that Ansible has to say: the last test looks for secrets in it.
        up("-vvvvv", "--diff")
        yield {name: settled(name) for name in SERVICES}
    finally:
        clean()
    # If it could be cleaned: the next run needs the secrets that belong to what is left.
    shutil.rmtree(CHECKOUT)


def clean() -> None:
    containers = by_hand("ps", "-aq", "--filter", f"label={INSTANCE}.by-hand").split()
    if containers:
        by_hand("rm", "-fv", *containers)
    for name in UP:
        confirmed = ("-e", f"clean_confirm={name} clean_backup=false")
        play(*EVERY, "playbooks/clean.yml", "--limit", name, *confirmed)
    by_hand("network", "prune", "-f", "--filter", f"label={INSTANCE}.by-hand")
    if by_hand("images", "-q", OTHER_IMAGE):
        by_hand("image", "rm", "-f", OTHER_IMAGE)
    for path in (CHECKOUT / "env").glob(f".*.{INSTANCE}*"):
        path.unlink()


def repaired(declared: dict[str, Any]) -> None:
    """Let one run of each playbook repair all, by everybody's account."""
    up("-vvvvv", "--diff")
    for name, was in declared.items():
        now = settled(name)
        for what, wanted in was.items():
            assert now[what] == wanted, f"{name}: {what}"
    assert {path: path.stat().st_mode & 0o7777 for path in MODES} == MODES


def test_every_container_is_confined() -> None:
    for environment in UP:
        held, total, lines = hardening.judge(environment, INSTANCE, CHECKOUT)
        assert (lines, held, total) == ([], total, 17 * len(SERVICES[f"{INSTANCE}-{environment}"]))
    assert hardening.judge("dev", "nowhere", CHECKOUT)[0] == 0


def test_redis_can_write_its_data_down() -> None:
    for name in SERVICES:
        assert redis_cli(name, "SAVE") == "OK"


def signal_service(container: str, signal: str) -> None:
    """Send a signal to what the init has started and to the children of that, and to no health check."""
    by_hand("exec", container, "sh", "-c", SIGNAL_SERVICE, signal)


def test_a_service_that_hangs_is_unhealthy_within_30_s(api: docker.APIClient) -> None:
    containers = [f"{DEV}-{service}" for service in SERVICES[DEV]]

    def healths() -> set[str]:
        return {inspected(container)["State"]["Health"]["Status"] for container in containers}

    await_that(lambda: healths() == {"healthy"})
    for container in containers:
        signal_service(container, "STOP")
    try:
        await_that(lambda: healths() == {"unhealthy"}, seconds=30)
    finally:
        for container in containers:
            signal_service(container, "CONT")
    await_that(lambda: healths() == {"healthy"}, seconds=30)


def test_none_after_a_restart_a_backup_a_migration_and_a_container_made_again_just_as_it_was(
    api: docker.APIClient, tmp_path: Path
) -> None:
    by_hand("restart", *(f"{DEV}-{service}" for service in SERVICES[DEV]))
    await_that(lambda: inspected(f"{DEV}-app")["State"]["Health"]["Status"] == "healthy")
    for command in ("downgrade", "upgrade"):
        by_hand("exec", f"{DEV}-app", "python", "-m", "src.core.schema.migrate", command)
    play("playbooks/backup.yml", "--limit", "dev", "-e", f"backup_directory={tmp_path}")
    for service in ("callback", "redis"):
        make_again(api, DEV, service, lambda config, host: None)
    before = look_of_all()
    assert drift() == NONE
    assert look_of_all() == before


def look_of_all() -> list[Any]:
    """Return what changes when somebody touches a container or a file."""
    found = [inspected(f"{name}-{service}") for name, services in SERVICES.items() for service in services]
    return [
        *((one["Id"], one["State"]["StartedAt"], one["RestartCount"]) for one in found),
        *(
            (path, path.stat().st_mtime_ns, path.stat().st_mode)
            for path in sorted((CHECKOUT / "env").iterdir())
        ),
    ]


def test_what_cannot_be_compared() -> None:
    missing = [
        {"object": f"nowhere-{name}", "what": "environment", "declared": "present", "running": "missing"}
        for name in ("dev", "test")
    ]

    def asked(*arguments: str, **more: Any) -> str:
        return play(*EVERY, "playbooks/drift.yml", *arguments, **more)

    assert asked(instance="nowhere") == "There is no environment of instance nowhere to compare.\n"
    limited = asked("--limit", "dev,test", "-e", "drift_format=json", instance="nowhere", code=3)
    assert json.loads(limited) == {"compared": [], "drift": missing}
    elsewhere = asked("--limit", "dev", "-e", "dashtam_owner_checkout=/elsewhere", code=3)
    assert elsewhere == f"{DEV}: checkout: declared /elsewhere, running {CHECKOUT} (a run refuses it)\n"
    unknown = asked("--limit", "dev", "-e", "images_requirements=/nowhere.txt", code=2)
    assert unknown == f"\n{DEV}: images_requirements: /nowhere.txt: No such file or directory.\n"
    silent = asked(code=2, DOCKER_HOST="unix:///nowhere").split("\n")
    reason = "No such file or directory. Start it, then run this again."
    assert silent == ["", f"{DEV}: The Docker engine at unix:///nowhere cannot be asked: {reason}", ""]


def containers_changed(api: docker.APIClient, folder: Path) -> list[str]:
    """Change dev's containers; PostgreSQL's and Redis's stay, for what is changed inside."""
    by_hand("network", "create", "--label", f"{INSTANCE}.by-hand", OTHER_NETWORK)
    by_hand("network", "connect", OTHER_NETWORK, f"{DEV}-app")
    limits = ("--memory=700m", "--memory-swap=900m", "--cpus=1.5", "--pids-limit=500", "--cpu-shares=512")
    by_hand("update", "--restart=always", *limits, f"{DEV}-app")

    folder.chmod(0o755)
    before = inspected(f"{DEV}-callback")
    ((inside, (binding,)),) = before["HostConfig"]["PortBindings"].items()
    port = int(binding["HostPort"])
    level = dict(pair.split("=", 1) for pair in before["Config"]["Env"])["LOG_LEVEL"]
    fingerprint = before["Config"]["Labels"]["dashtam.certificates"]

    def change(config: dict[str, Any], host: dict[str, Any]) -> None:
        changed = {"LOG_LEVEL": "LOUD", "RELAY_TOKEN": "canary-by-hand", "CALLBACK_PORT": None}
        kept = [pair for pair in config["Env"] if pair.split("=")[0] not in changed]
        config["Env"] = [*kept, *(f"{name}={value}" for name, value in changed.items() if value), "MORE=1"]
        config["Cmd"] = ["sleep", "infinity"]
        config["User"], config["WorkingDir"], config["StopTimeout"] = "10002:10002", "/tmp", 3
        config["Labels"] |= {"note": "mine", "dashtam.certificates": "none"}
        config["Healthcheck"] |= {"Test": ["CMD", "true"], "Interval": 60_000_000_000}
        host["PortBindings"] = {inside: [{"HostIp": "127.0.0.1", "HostPort": str(port + 5)}]}
        host["Mounts"] = [mount for mount in host["Mounts"] if mount["Target"] not in ("/tmp", "/app/src")]
        host["Binds"] = [f"{CHECKOUT}/src:/app/src", f"{folder}:/more"]
        host["Tmpfs"] = {"/tmp": "size=16m,mode=1777"}
        host["RestartPolicy"] = {"Name": "no"}
        host["ReadonlyRootfs"] = False
        host["CapDrop"], host["CapAdd"] = ["NET_RAW"], ["NET_ADMIN"]
        host["SecurityOpt"] = []
        host["ShmSize"] = 128 * 1024**2
        host["Memory"], host["MemorySwap"] = 512 * 1024**2, -1
        host["PidsLimit"], host["Init"] = None, False
        host["Ulimits"] = [{"Name": "nofile", "Soft": 1024, "Hard": 2048}]
        host["LogConfig"] = {"Type": "json-file", "Config": {"max-size": "1m"}}
        host["ExtraHosts"] = ["example.org:127.0.0.1"]

    make_again(api, DEV, "callback", change)
    health = shlex.join(before["Config"]["Healthcheck"]["Test"])
    # Of four that are declared.
    processors = min(4, api.info()["NCPU"])
    return [
        f"{DEV}-app: restart policy: declared unless-stopped, running always",
        f"{DEV}-app: memory limit: declared 2G, running 700M",
        f"{DEV}-app: cpu limit: declared {processors}, running 1.5",
        f"{DEV}-app: pids limit: declared 512, running 500",
        f"{DEV}-app: network {OTHER_NETWORK}: declared none, running connected",
        f"{DEV}-app: cpu shares: declared none, running 512",
        *(
            f"{DEV}-callback: {line}"
            for line in (
                "command: declared python -m src.callback --reload, running sleep infinity",
                f"user: declared {before['Config']['User']}, running 10002:10002",
                "working folder: declared /app, running /tmp",
                "stop timeout: declared 10s, running 3s",
                "restart policy: declared unless-stopped, running no",
                "memory limit: declared 256M, running 512M",
                "pids limit: declared 128, running no limit",
                "open files limit: declared 1024, running 1024:2048",
                "init process: declared yes, running no",
                "read-only root: declared yes, running no",
                "shm size: declared 64M, running 128M",
                f"health check: declared {health}, running CMD true",
                "health check's interval: declared 10s, running 60s",
                "dropped capability ALL: declared present, running none",
                "security option no-new-privileges:true: declared present, running none",
                "log option max-size: declared 10m, running 1m",
                "log option max-file: declared 3, running none",
                f"label dashtam.certificates: declared {fingerprint}, running none",
                f"port {inside}: declared 127.0.0.1:{port}, running 127.0.0.1:{port + 5}",
                "mount /tmp: declared tmpfs, 64M, mode 1777, running tmpfs, 16M, mode 1777",
                f"mount /app/src: declared bind {CHECKOUT}/src, read-only, running bind {CHECKOUT}/src",
                "dropped capability NET_RAW: declared none, running present",
                "label note: declared none, running mine",
                f"mount /more: declared none, running bind {folder}",
                "added capabilities: declared none, running NET_ADMIN",
                "extra hosts: declared none, running example.org:127.0.0.1",
                "env CALLBACK_PORT: declared 8182, running none",
                f"env LOG_LEVEL: declared {level}, running LOUD",
                "env MORE: declared none, running 1",
                "env RELAY_TOKEN: declared ***, running another ***",
            )
        ),
    ]


def servers_changed() -> list[str]:
    """Change what dev's PostgreSQL and Redis have, in containers that are as declared."""
    psql(
        DEV,
        "ALTER ROLE dashtam_app SUPERUSER CREATEDB PASSWORD 'canary-by-hand'",
        "ALTER ROLE dashtam_user NOLOGIN",
        "GRANT pg_read_all_data TO dashtam_app",
        "ALTER ROLE postgres PASSWORD 'canary-by-hand'",
        "GRANT CONNECT ON DATABASE dashtam TO PUBLIC",
        "REVOKE CONNECT ON DATABASE dashtam FROM dashtam_app",
        "ALTER DATABASE dashtam SET dashtam.disposable = 'on'",
        "ALTER DATABASE dashtam SET work_mem = '1MB'",
        "ALTER ROLE dashtam_app IN DATABASE dashtam SET statement_timeout = '5s'",
        "ALTER SYSTEM SET work_mem = '2MB'",
        "ALTER SYSTEM SET max_connections = 50",
        "SELECT pg_reload_conf()",
    )
    redis_cli(DEV, "SET", "kept", "yes")
    redis_cli(DEV, "CONFIG", "SET", "maxmemory", "10mb", "appendonly", "no", "save", "")
    redis_cli(DEV, "ACL", "SETUSER", "app", ">canary-by-hand")
    redis_cli(DEV, "ACL", "SETUSER", "default", "on", "nopass", "~*", "&*", "+@all")
    redis_cli(DEV, "ACL", "SETUSER", "more", "on", ">canary-by-hand", "+ping")
    return [
        f"{DEV}-postgres: role dashtam_app: createdb: declared no, running yes",
        f"{DEV}-postgres: role dashtam_app: superuser: declared no, running yes",
        f"{DEV}-postgres: role dashtam_user: login: declared yes, running no",
        f"{DEV}-postgres: role dashtam_app: member of pg_read_all_data: declared no, running yes",
        f"{DEV}-postgres: role dashtam_app: password: declared ***, running another",
        f"{DEV}-postgres: role postgres: password: declared none, running ***",
        f"{DEV}-postgres: database dashtam: CONNECT of PUBLIC: declared no, running yes",
        f"{DEV}-postgres: database dashtam: CONNECT of dashtam_app: declared yes, running no",
        f"{DEV}-postgres: setting dashtam.disposable, database dashtam: declared none, running on",
        f"{DEV}-postgres: setting statement_timeout, database dashtam, role dashtam_app: "
        "declared none, running 5s",
        f"{DEV}-postgres: setting work_mem, database dashtam: declared none, running 1MB",
        f"{DEV}-postgres: setting max_connections, ALTER SYSTEM: declared 100, running 50",
        f"{DEV}-postgres: setting work_mem, ALTER SYSTEM: declared 4096kB, running 2MB",
        f"{DEV}-redis: setting appendonly: declared yes, running no",
        f"{DEV}-redis: setting maxmemory: declared 0, running 10485760",
        f"{DEV}-redis: setting save: declared 3600 1 300 100 60 10000, running none",
        f"{DEV}-redis: user app: declared {APP_USER}, running {APP_USER.replace('#***', '#*** #***')}",
        f"{DEV}-redis: user default: declared off sanitize-payload resetchannels -@all, "
        "running on nopass sanitize-payload ~* &* +@all",
        f"{DEV}-redis: user more: declared none, running on sanitize-payload #*** resetchannels -@all +ping",
    ]


def modes_changed() -> list[str]:
    for path in MODES:
        # Unreadable, the CA's certificate would make the containers unhealthy; a key that others could read
        # would be replaced.
        path.chmod({"ca.pem": 0o664, "key.pem": 0o400}.get(path.name, 0o640))
    return [
        f"env/.secrets.dev.{INSTANCE}.yml: mode: declared 0600, running 0640",
        f"env/.env.dev.{INSTANCE}: mode: declared 0600, running 0640",
        "certs/ca.pem: mode: declared 0644, running 0664",
        "certs/key.pem: mode: declared 0600, running 0400",
        "certs/private/ca-key.pem: mode: declared 0600, running 0640",
    ]


def in_memory_changed() -> list[str]:
    """Change test: its PostgreSQL can be repaired by a restart alone, and is then empty."""
    psql(
        TEST,
        "ALTER ROLE dashtam_test_user NOCREATEDB",
        "ALTER DATABASE dashtam_test RESET dashtam.disposable",
        "ALTER SYSTEM SET work_mem = '2MB'",
    )
    hba = "echo 'host all all all trust' >>/tmp/postgresql-hba.conf"
    by_hand("exec", f"{TEST}-postgres", "sh", "-c", hba)
    redis_cli(TEST, "ACL", "SETUSER", "administrator", "resetpass", ">canary-by-hand")
    by_hand("pause", f"{TEST}-app")
    by_hand("network", "disconnect", f"{TEST}-network", f"{TEST}-callback")
    by_hand("rm", "-fv", f"{TEST}-fake-schwab")
    # Its health check asks as the administrator, too.
    await_that(lambda: inspected(f"{TEST}-redis")["State"]["Health"]["Status"] == "unhealthy")
    return [
        f"{TEST}-app: state: declared running, running paused",
        f"{TEST}-callback: network {TEST}-network: declared connected, running none",
        f"{TEST}-callback: alias callback: declared present, running none",
        f"{TEST}-fake-schwab: container: declared present, running missing",
        f"{TEST}-redis: health: declared healthy, running unhealthy (a run shows its log)",
        f"{TEST}-postgres: role dashtam_test_user: createdb: declared yes, running no",
        f"{TEST}-postgres: setting dashtam.disposable, database dashtam_test: declared on, running none",
        f"{TEST}-postgres: setting work_mem, ALTER SYSTEM: declared 4096kB, running 2MB",
        f"{TEST}-postgres: pg_hba.conf: declared nothing else, running host all all all trust",
        f"{TEST}-redis: server: declared answers, running NOAUTH Authentication required.",
    ]


def network_changed() -> list[str]:
    """Make ci's network again with a route out, and put everything back on it but for an alias."""
    name = f"{CI}-network"
    labels = json.loads(by_hand("network", "inspect", name))[0]["Labels"]
    containers = [f"{CI}-{service}" for service in SERVICES[CI]]
    for container in containers:
        by_hand("network", "disconnect", name, container)
    by_hand("network", "rm", name)
    said = [word for label, value in labels.items() for word in ("--label", f"{label}={value}")]
    by_hand("network", "create", "-o", "com.docker.network.driver.mtu=1400", *said, name)
    for container, service in zip(containers, SERVICES[CI], strict=True):
        by_hand("network", "connect", "--alias", "cache" if service == "redis" else service, name, container)
    return [
        f"{CI}-redis: alias redis: declared present, running none",
        f"{CI}-redis: alias cache: declared none, running present",
        f"{name}: internal: declared yes, running no",
        f"{name}: option com.docker.network.driver.mtu: declared none, running 1400 {LEFT}",
    ]


def test_what_was_changed_in_running_environments(
    api: docker.APIClient,
    declared: dict[str, Any],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    lines = [
        *containers_changed(api, tmp_path),
        *servers_changed(),
        *modes_changed(),
        *in_memory_changed(),
        *network_changed(),
    ]
    assert drift() == lines
    record_property("cases", sum(LEFT not in line for line in lines))

    answer = json.loads(play(*EVERY, "playbooks/drift.yml", "-e", "drift_format=json", code=3))
    assert answer["compared"] == [DEV, TEST, CI]
    said = [
        "{object}: {what}: declared {declared}, running {running}".format(**one)
        + (f" ({one['note']})" if "note" in one else "")
        for one in answer["drift"]
    ]
    # The certificates are of all three.
    assert list(dict.fromkeys(said)) == lines

    repaired(declared)
    assert redis_cli(DEV, "GET", "kept") == "yes"
    assert drift() == NONE
    for said_again in up():
        assert re.findall(r"changed=(\d+)", said_again) == ["0"] * said_again.count("changed="), said_again
        assert "changed=0" in said_again


def test_what_was_stopped_removed_or_emptied(api: docker.APIClient, declared: dict[str, Any]) -> None:
    # It turns unhealthy while the rest is changed.
    wedged = f"{TEST}-callback"
    signal_service(wedged, "STOP")

    by_hand("stop", f"{DEV}-app")
    image = inspected(f"{DEV}-callback")["Config"]["Image"]
    made = by_hand("commit", f"{DEV}-callback", OTHER_IMAGE).strip()
    was, now = (one.removeprefix("sha256:")[:12] for one in (inspected(image)["Id"], made))
    make_again(api, DEV, "callback", lambda config, host: config.update(Image=OTHER_IMAGE))
    psql(DEV, "ALTER SYSTEM SET max_connections = 50")
    restart_postgres(DEV)
    by_hand("exec", f"{DEV}-postgres", "sh", "-c", "echo 'host all all all trust' >>/tmp/postgresql-hba.conf")
    labels = inspected(f"{DEV}-redis")["Config"]["Labels"] | {"dashtam.service": "more"}
    more = f"{DEV}-more"
    said = [word for name, value in labels.items() for word in ("--label", f"{name}={value}")]
    by_hand("run", "-d", "--name", more, "--network", "none", "--label", f"{INSTANCE}.by-hand", *said, image)
    volume = f"{INSTANCE}_redis_dev_data"
    labels = json.loads(by_hand("volume", "inspect", volume))[0]["Labels"] | {"note": "mine"}
    by_hand("rm", "-fv", f"{DEV}-redis")
    by_hand("volume", "rm", volume)
    said = [word for name, value in labels.items() for word in ("--label", f"{name}={value}")]
    by_hand("volume", "create", *said, volume)
    ENV_FILE.unlink()

    psql(TEST, "DROP DATABASE dashtam_test WITH (FORCE)", "DROP ROLE dashtam_test_app")
    by_hand("rm", "-fv", f"{CI}-app")
    restart_postgres(CI)

    await_that(lambda: inspected(wedged)["State"]["Health"]["Status"] == "unhealthy")
    label_left = f"{volume}: label note: declared none, running mine {LEFT}"
    more_left = f"{more}: container: declared none, running present {LEFT}"
    assert drift() == [
        f"{DEV}-app: state: declared running, running exited",
        f"{DEV}-callback: image: declared {image} ({was}), running {OTHER_IMAGE} ({now})",
        f"{DEV}-redis: container: declared present, running missing",
        f"{DEV}-postgres: setting max_connections, ALTER SYSTEM: declared 100, running 50",
        f"{DEV}-postgres: pg_hba.conf: declared nothing else, running host all all all trust",
        more_left,
        label_left,
        f"env/.env.dev.{INSTANCE}: file: declared present, running missing",
        f"{wedged}: health: declared healthy, running unhealthy (a run shows its log)",
        f"{TEST}-postgres: role dashtam_test_app: declared present, running missing",
        f"{TEST}-postgres: database dashtam_test: declared present, running missing",
        f"{CI}-app: container: declared present, running missing",
        f"{CI}-postgres: role dashtam_test_app: declared present, running missing",
        f"{CI}-postgres: role dashtam_test_user: declared present, running missing",
        f"{CI}-postgres: database dashtam_test: declared present, running missing",
        f"{CI}-postgres: database postgres: CONNECT of PUBLIC: declared no, running yes",
        f"{CI}-postgres: database template1: CONNECT of PUBLIC: declared no, running yes",
        f"{CI}-postgres: pg_hba.conf in the data directory: declared the same as the server reads, "
        "running another",
    ]
    signal_service(wedged, "CONT")
    repaired(declared)
    assert drift() == [more_left, label_left]

    # What a run leaves to a person, or stops at.
    by_hand("rm", "-fv", more, f"{DEV}-redis")
    by_hand("volume", "rm", volume)
    text = ENV_FILE.read_text()
    (level,) = re.findall("^LOG_LEVEL=(.*)$", text, re.MULTILINE)
    edited = re.sub("^SECRET_KEY=.*$", "SECRET_KEY=canary-by-hand", text, flags=re.MULTILINE)
    ENV_FILE.write_text(edited.replace(f"LOG_LEVEL={level}", "LOG_LEVEL=LOUD") + "MORE=1\n")
    stops = "(edited by hand: a run stops and says what to do)"
    name = f"env/.env.dev.{INSTANCE}"
    assert drift("--limit", "dev") == [
        f"{DEV}-redis: container: declared present, running missing",
        f"{volume}: volume: declared present, running missing",
        f"{name}: env LOG_LEVEL: declared {level}, running LOUD {stops}",
        f"{name}: env MORE: declared none, running 1 {stops}",
        f"{name}: env SECRET_KEY: declared ***, running another *** {stops}",
    ]
    assert "was edited by hand" in play(*UP["dev"], code=2)
    ENV_FILE.write_text(text)
    play(*UP["dev"])
    assert settled(DEV) == declared[DEV]
    assert drift() == NONE


def test_a_backup_starts_a_stopped_server_and_clean_says_how_to_do_without_one(tmp_path: Path) -> None:
    by_hand("stop", f"{DEV}-postgres")
    play("playbooks/backup.yml", "--limit", "dev", "-e", f"backup_directory={tmp_path}")
    assert len(list(tmp_path.glob("*.dump"))) == 1
    by_hand("exec", f"{DEV}-postgres", "rm", "/var/lib/postgresql/data/global/pg_control")
    by_hand("kill", f"{DEV}-postgres")
    said = play(*EVERY, "playbooks/clean.yml", "--limit", "dev", "-e", "clean_confirm=dev", code=2)
    assert "has lost global/pg_control: no server can start from it" in said
    assert "There is no backup, and nothing was removed. To give the data up without one: make clean" in said
    assert f'LIMIT=dev INSTANCE={INSTANCE} PORT_OFFSET={OFFSET} ANSIBLE_ARGS="-e clean_backup=false"' in said
    assert by_hand("volume", "inspect", f"{INSTANCE}_postgres_dev_data")


def test_no_secret_was_printed() -> None:
    secrets = [
        value
        for path in (CHECKOUT / "env").glob(f".secrets.*.{INSTANCE}.yml")
        for value in yaml.safe_load(path.read_text()).values()
    ]
    assert len(secrets) >= 4 * len(UP)
    assert [secret for secret in [*secrets, "canary-by-hand"] if secret in "".join(PRINTED)] == []
