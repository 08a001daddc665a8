"""Declared containers as services of a Swarm: what is translated, and what is refused."""

import copy
import hashlib
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.by_path import load

translate = load("plugins/filter/swarm_service.py")
faults_of = load("plugins/filter/swarm_faults.py").service_faults
secrets_kept = load("plugins/filter/swarm_secrets.py").secrets_kept

CONTAINER: dict[str, Any] = {
    "name": "shop-app",
    "image": "shop:1",
    "command": ["python", "-m", "shop"],
    "user": "1000:1001",
    "working_dir": "/app",
    "env": {
        "LEVEL": "INFO",
        "API_PASSWORD": "pässword $x",
        "DATABASE_URL": "postgresql://u:secret@db/x",
        "EMPTY_SECRET": "",
    },
    "labels": {"shop.service": "app"},
    "network": "shop-network",
    "aliases": ["app"],
    "published_ports": [],
    "mounts": [
        {"type": "tmpfs", "target": "/tmp", "tmpfs_size": "512M", "tmpfs_mode": "1777"},
        {
            "type": "volume",
            "source": "shop-data",
            "target": "/data",
            "read_only": False,
            "labels": {"a": "b"},
        },
        {"type": "bind", "source": "/nowhere/key.pem", "target": "/certs/key.pem", "read_only": True},
    ],
    "restart_policy": "unless-stopped",
    "healthcheck": {
        "test": ["CMD", "curl", "https://localhost/health"],
        "interval": "10s",
        "timeout": "4s",
        "retries": 2,
        "start_period": "30s",
    },
    "stop_timeout": 10,
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opts": [],
    "shm_size": "64M",
    "memory": "2G",
    "cpus": 1.5,
    "pids_limit": 0,
    "nofile": 0,
    "init": True,
    "ready": ["true"],
}
VERSIONS = {
    f"shop_{name}": {"name": f"shop_{name}_v1", "id": f"id-{name}"}
    for name in ("API_PASSWORD", "DATABASE_URL", "key.pem")
}


def container(**changes: Any) -> dict[str, Any]:
    return copy.deepcopy(CONTAINER) | changes


def service(entry: dict[str, Any] | None = None, **changes: Any) -> Any:
    entry = (entry or {}) | {"container": container(**changes)}
    return translate.service_parameters([entry], "shop", VERSIONS)[0]


def test_the_command_goes_behind_the_entrypoint() -> None:
    made = service()
    assert made["args"] == ["python", "-m", "shop"]
    assert "command" not in made


def test_names_are_round_robin_and_ports_are_the_node_s() -> None:
    made = service(published_ports=["0.0.0.0:443:8443", "[::]:53:53/udp"])
    assert made["endpoint_mode"] == "dnsrr"
    assert made["networks"] == [{"name": "shop-network", "aliases": ["app"]}]
    assert made["publish"] == [
        {"published_port": 443, "target_port": 8443, "protocol": "tcp", "mode": "host"},
        {"published_port": 53, "target_port": 53, "protocol": "udp", "mode": "host"},
    ]


def test_secrets_are_files_of_the_user_and_in_no_environment() -> None:
    made = service()
    assert made["env"] == {"LEVEL": "INFO", "EMPTY_SECRET": ""}
    owned = {"uid": "1000", "gid": "1001", "mode": 0o400}
    assert made["secrets"] == [
        {"secret_name": f"shop_{name}_v1", "secret_id": f"id-{name}", "filename": target} | owned
        for name, target in (
            ("API_PASSWORD", "API_PASSWORD"),
            ("DATABASE_URL", "DATABASE_URL"),
            ("key.pem", "/certs/key.pem"),
        )
    ]
    assert "secret@" not in str(made)
    assert "pässword" not in str(made)


def test_a_value_that_looks_like_a_template_stays_as_it_is() -> None:
    # The engine expands templates of Go in a service's environment, and starts no task if it cannot.
    made = service(env={"RULES": "{{ $value }} of {{$labels.route}}"})
    assert made["env"] == {"RULES": '{{"{{"}} $value }} of {{"{{"}}$labels.route}}'}


def test_a_user_by_name_can_read_what_the_container_has() -> None:
    assert {(one["uid"], one["gid"], one["mode"]) for one in service(user="redis")["secrets"]} == {
        ("0", "0", 0o444)
    }


def test_each_secret_is_made_once() -> None:
    entries = [{"container": container()}, {"container": container(name="shop-job")}]
    assert translate.service_secrets(entries, "shop") == [
        {"name": "shop_API_PASSWORD", "data": "pässword $x"},
        {"name": "shop_DATABASE_URL", "data": "postgresql://u:secret@db/x"},
        {"name": "shop_key.pem", "data_src": "/nowhere/key.pem"},
    ]


def test_mounts_and_shared_memory() -> None:
    assert service()["mounts"] == [
        {"type": "tmpfs", "target": "/tmp", "tmpfs_size": "512M", "tmpfs_mode": 0o1777},
        {
            "type": "volume",
            "source": "shop-data",
            "target": "/data",
            "readonly": False,
            "labels": {"a": "b"},
        },
        {"type": "tmpfs", "target": "/dev/shm", "tmpfs_size": "64M", "tmpfs_mode": 0o1777},
    ]


def test_limits_health_and_confinement_are_kept() -> None:
    made = service()
    assert made["limits"] == {"memory": "2G", "cpus": 1.5}
    assert made["healthcheck"] == CONTAINER["healthcheck"]
    assert (made["read_only"], made["cap_drop"], made["init"]) == (True, ["ALL"], True)
    assert made["stop_grace_period"] == "10s"


@pytest.mark.parametrize(
    ("policy", "condition"),
    [("no", "none"), ("on-failure", "on-failure"), ("always", "any"), ("unless-stopped", "any")],
)
def test_a_restart_policy_is_a_condition(policy: str, condition: str) -> None:
    assert service(restart_policy=policy)["restart_config"]["condition"] == condition


def test_a_failed_update_is_rolled_back() -> None:
    made = service({"replicas": 3, "order": "start-first"})
    assert (made["mode"], made["replicas"]) == ("replicated", 3)
    assert made["update_config"]["failure_action"] == "rollback"
    assert made["update_config"]["order"] == "start-first"


def test_a_job_has_neither_updates_nor_a_health_check_nor_another_try() -> None:
    made = service({"mode": "replicated-job"})
    assert made["healthcheck"]["test"] == ["NONE"]
    assert made["restart_config"] == {"condition": "none"}
    assert not {"update_config", "rollback_config", "publish", "endpoint_mode"} & made.keys()


def test_an_image_s_id_wins_and_the_label_has_its_name() -> None:
    made = service({"image": "sha256:" + "0" * 64})
    assert made["image"] == "sha256:" + "0" * 64
    assert made["labels"] == {"shop.service": "app", "image": "shop:1"}


def test_a_script_reads_its_variables_from_the_files(tmp_path: Path) -> None:
    words = service(command=["sh", "-c", 'echo "$API_PASSWORD-$1"; env', "start", "one"])["args"]
    assert words[3:] == ["start", "one"]
    (tmp_path / "API_PASSWORD").write_text("pässword $x `id`\"'")
    script = words[2].replace("/run/secrets", str(tmp_path))
    said = subprocess.run(
        ["sh", "-c", "set -eu; " + script, *words[3:]], capture_output=True, text=True, check=True, env={}
    ).stdout
    assert said.splitlines()[0] == "pässword $x `id`\"'-one"
    assert "pässword" not in "".join(said.splitlines()[1:]), "it is not exported"


REASON = {"given_up": {"security_opts": "no option", "pids_limit": "no option", "nofile": "no option"}}


def test_what_can_be_kept_is_no_fault() -> None:
    assert faults_of([{"container": container()}]) == []


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"security_opts": ["no-new-privileges:true"]}, "security_opts"),
        ({"pids_limit": 100}, "pids_limit"),
        ({"nofile": 1024}, "nofile"),
        ({"published_ports": ["127.0.0.1:80:8000"]}, "bind_address"),
        ({"mounts": [{"type": "volume", "source": "v", "target": "/v", "owner": "1:1"}]}, "volume_owner"),
    ],
)
def test_what_a_swarm_has_no_word_for_is_refused_unless_given_up(changes: dict[str, Any], name: str) -> None:
    entry = {"container": container(**changes)}
    (fault,) = faults_of([entry])
    assert fault.startswith(f"shop-app: {name}: ")
    assert fault.endswith("give it up by name, with the reason.")
    assert faults_of([entry | {"given_up": {name: "we live with it"}}]) == []
    assert "give it up" not in faults_of([entry | {"given_up": {name: " "}}])[0]
    assert faults_of([entry | {"given_up": {name: " "}}]) == [
        f"shop-app: {name} is given up without a reason; say why."
    ]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"container": container(privileged=True)}, "privileged: not known to the translation"),
        (
            {"container": container(), "given_up": {"memory": "no"}},
            "memory: nothing of this name can be given up",
        ),
        (
            {"container": container(mounts=[{"type": "bind", "source": "/tmp", "target": "/app/src"}])},
            "/app/src: no other node has the folder /tmp",
        ),
        (
            {"container": container(healthcheck={"test": ["CMD", "curl", "https://x/ready"]})},
            "the health check asks /ready",
        ),
        (
            {"container": container(published_ports=["0.0.0.0:1:1"]), "order": "start-first"},
            "start-first with a published port",
        ),
    ],
)
def test_other_faults(entry: dict[str, Any], said: str) -> None:
    (fault,) = faults_of([entry])
    assert fault.startswith(f"shop-app: {said}")


def test_one_secret_has_one_value() -> None:
    other = container(name="shop-job", env={"API_PASSWORD": "another"})
    assert faults_of([{"container": container()}, {"container": other}]) == [
        "API_PASSWORD: two services have different values of it, and a secret has one."
    ]


def secret(name: str, value: str, **labels: str) -> dict[str, Any]:
    key = hashlib.sha224(value.encode()).hexdigest()
    return {"name": name, "id": f"id-{name}", "labels": {"shop": "x", "ansible_key": key} | labels}


def test_a_secret_is_kept_if_its_newest_version_has_the_value_and_the_labels(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("key")
    wanted = [{"name": f"shop_{name}", "data": "new"} for name in ("SAME", "CHANGED", "MISSING", "OTHERS")]
    wanted += [{"name": "shop_key.pem", "data_src": str(tmp_path / "key.pem")}]
    found = [
        *(secret(f"shop_SAME_v{number}", "old") for number in (8, 9)),
        secret("shop_SAME_v10", "new"),
        secret("shop_CHANGED_v1", "new"),
        secret("shop_CHANGED_v2", "old"),
        secret("shop_OTHERS_v1", "new", shop="y"),
        secret("shop_key.pem_v1", "key"),
    ]
    kept = secrets_kept(wanted, found, {"shop": "x"})
    assert {name: version["name"] for name, version in kept.items()} == {
        "shop_SAME": "shop_SAME_v10",
        "shop_key.pem": "shop_key.pem_v1",
    }


def test_a_plan_has_names_of_secrets_and_no_value() -> None:
    spec = container(env=CONTAINER["env"] | {"SECRET_KEY": "GENERATED-SECRET-KEY"})
    plan = translate.service_plan([{"container": spec}], "shop", ["GENERATED-SECRET-KEY"])
    assert plan["secrets"] == {
        "shop_API_PASSWORD": "***",
        "shop_DATABASE_URL": "postgresql://u:***@db/x",
        "shop_SECRET_KEY": "GENERATED-SECRET-KEY",
        "shop_key.pem": "/nowhere/key.pem",
    }
    made = plan["services"]["shop-app"]
    assert made["secrets"]["/certs/key.pem"] == "shop_key.pem"
    assert "name" not in made
    assert "pässword" not in str(plan)
