"""The compose file of an environment: it has everything that is declared, and no secret."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from ansible.errors import AnsibleFilterError

from tests.by_path import load
from tests.provisioning import clean_plan, playbook

filters = load("plugins/filter/plan_compose.py")
IMAGES = {name: f"example/{name}:1" for name in ("postgres", "redis", "app")}
SETUP = {"service": "postgres", "script": "echo $1", "sql": "SELECT 1", "environment": {"DATABASE": "it's"}}


def compose_arguments(**more: Any) -> str:
    return json.dumps({"plan_format": "compose", **more})


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clean_plan.clone(tmp_path_factory.mktemp("compose"))


@pytest.fixture(scope="module")
def text(checkout: Path) -> str:
    given = compose_arguments(plan_images=IMAGES, dashtam_instance="second")
    return clean_plan.show(checkout, "--limit", "dev", "-e", given)


@pytest.fixture(scope="module")
def compose(text: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(text)
    return content


@pytest.fixture(scope="module")
def declared(checkout: Path) -> dict[str, Any]:
    shown = clean_plan.show(
        checkout, "--limit", "dev", "-e", "plan_format=json", "-e", "dashtam_instance=second"
    )
    containers = json.loads(shown)["dev"]["containers"]
    return {spec["labels"]["dashtam.service"]: spec for spec in containers.values()}


def test_every_container_is_a_service(compose: dict[str, Any], declared: dict[str, Any]) -> None:
    assert compose["name"] == "second-dev-compose"
    assert list(compose["services"]) == list(declared)
    for name, spec in declared.items():
        service = compose["services"][name]
        assert service["image"] == IMAGES["app" if name == "callback" else name]
        assert [word.replace("$$", "$") for word in service["command"]] == spec["command"]
        assert service.get("environment", {}).keys() == spec["env"].keys()
        assert service["ports"] == spec["published_ports"]
        test = [word.replace("$$", "$") for word in service["healthcheck"]["test"]]
        assert service["healthcheck"] | {"test": test} == spec["healthcheck"]
        assert service["restart"] == spec["restart_policy"]
        assert service["networks"]["default"]["aliases"] == spec["aliases"]
        assert service.get("cap_drop", []) == spec["cap_drop"]
        assert service["ulimits"] == {"nofile": spec["nofile"]}
        assert (service["pids_limit"], service["init"]) == (spec["pids_limit"], spec["init"])
        assert service["memswap_limit"] == service["mem_limit"] == spec["memory"]
        assert [mount["target"] for mount in service["volumes"]] == [
            mount["target"] for mount in spec["mounts"]
        ]


def test_secrets_come_from_the_env_file(text: str, compose: dict[str, Any], declared: dict[str, Any]) -> None:
    assert "GENERATED" not in text
    env = compose["services"]["app"]["environment"]
    required = {name for name, value in env.items() if value.startswith("${")}
    assert required == {name for name, value in declared["app"]["env"].items() if "GENERATED" in value}
    assert (
        env["SECRET_KEY"]
        == "${SECRET_KEY:?set it, or run docker compose with --env-file env/.env.dev.second}"
    )


def test_nothing_of_it_is_taken_for_ours(text: str, compose: dict[str, Any]) -> None:
    assert "dashtam.instance" not in text
    assert not [name for name, service in compose["services"].items() if "container_name" in service]


def test_the_app_waits_for_what_it_needs(compose: dict[str, Any]) -> None:
    assert compose["services"]["app"]["depends_on"] == {
        name: {"condition": "service_healthy"} for name in ("postgres", "redis")
    }


def test_the_database_is_set_up(compose: dict[str, Any]) -> None:
    server = compose["services"]["postgres"]
    assert {one["source"] for one in server["configs"]} == compose["configs"].keys()
    assert server["secrets"] == list(compose["secrets"]) == ["DATABASE_URL", "APP_DATABASE_URL"]
    setup = compose["configs"]["setup.sh"]["content"]
    assert "RUNTIME_PASSWORD=$$(password APP_DATABASE_URL)" in setup
    assert "CREATE ROLE %I" in compose["configs"]["databases.sql"]["content"]


@pytest.mark.skipif(not shutil.which("bash"), reason="the entrypoint that sources the script is bash")
@pytest.mark.parametrize("password", ["plain", "Pa5s %@:/#?&\\\\n$'\" wörd", "%41", "\\x41"])
def test_passwords_are_read_from_the_urls(compose: dict[str, Any], tmp_path: Path, password: str) -> None:
    for name in compose["secrets"]:
        quoted = quote(password, safe="")
        (tmp_path / name).write_text(f"postgresql+asyncpg://someone:{quoted}@postgres:5432/dashtam")
    script = (
        compose["configs"]["setup.sh"]["content"].replace("$$", "$").replace("/run/secrets", str(tmp_path))
    )
    script = script.replace(
        "sh /etc/databases/databases.sh", 'printf \'%s\\n\' "$OWNER_PASSWORD" "$RUNTIME_PASSWORD" #'
    )
    run = subprocess.run(
        ["bash", "-Eeuo", "pipefail"], input=script, capture_output=True, text=True, check=True
    )
    assert run.stdout.splitlines() == [password, password]


def test_a_mode_is_octal(text: str, compose: dict[str, Any]) -> None:
    assert "tmpfs: {size: 512M, mode: 01777}" in text
    (tmpfs,) = (mount for mount in compose["services"]["app"]["volumes"] if mount["type"] == "tmpfs")
    assert tmpfs["tmpfs"]["mode"] == 0o1777


def test_without_an_engine_it_says_what_to_do(checkout: Path) -> None:
    process = playbook.start(
        "-i",
        "inventories/dev",
        "playbooks/plan.yml",
        "--limit",
        "dev",
        "-e",
        compose_arguments(),
        folder=checkout,
        config=checkout,
        roles=checkout / "roles",
        DOCKER_HOST="unix:///nowhere",
    )
    assert "no engine answers" in playbook.finish(process, code=2)


def test_one_file_is_for_one_environment(checkout: Path) -> None:
    process = playbook.start(
        *clean_plan.INVENTORIES,
        "playbooks/plan.yml",
        "-e",
        compose_arguments(),
        folder=checkout,
        config=checkout,
        roles=checkout / "roles",
    )
    assert "Say which one environment" in playbook.finish(process, code=2)


def spec(**more: Any) -> dict[str, Any]:
    return {
        "name": "shop-postgres",
        "image": "postgres",
        "command": ["postgres"],
        "env": {"GREETING": "a $ and ${this}"},
        "labels": {"container.service": "postgres", "org.example": "kept"},
        "network": "shop",
        "aliases": ["postgres"],
        "mounts": [],
        "stop_timeout": 30,
        "memory": "300M",
        "cpus": 0.0,
        "pids_limit": 0,
        "nofile": 1024,
        "init": True,
        **more,
    }


def translated(**more: Any) -> dict[str, Any]:
    result: dict[str, Any] = filters.plan_compose([spec(**more)], "shop", ".env", SETUP, {})
    return result


def test_limits_dollars_and_labels() -> None:
    compose = translated()
    service = compose["services"]["postgres"]
    assert service["environment"] == {"GREETING": "a $$ and $${this}"}
    assert service["labels"] == {"org.example": "kept"}
    assert service["stop_grace_period"] == "30s"
    assert service["mem_limit"] == service["memswap_limit"] == "300M"
    assert service["ulimits"] == {"nofile": 1024}
    assert service["init"] is True
    assert not {"cpu_quota", "pids_limit"} & service.keys()
    assert """DATABASE='it'"'"'s'""" in compose["configs"]["setup.sh"]["content"]
    assert compose["configs"]["databases.sh"]["content"] == "echo $$1"


def test_more_processors_than_there_are_would_be_refused_as_cpus() -> None:
    service = translated(cpus=1.5, pids_limit=100, memory="0")["services"]["postgres"]
    assert (service["cpu_quota"], service["cpu_period"], service["pids_limit"]) == (150_000, 100_000, 100)
    assert not {"cpus", "mem_limit", "memswap_limit"} & service.keys()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"privileged": True}, "cannot translate privileged yet"),
        (
            {"mounts": [{"type": "volume", "target": "/data", "no_copy": True}]},
            "cannot translate no_copy of a mount yet",
        ),
    ],
)
def test_what_has_no_translation_is_an_error(more: dict[str, Any], message: str) -> None:
    with pytest.raises(AnsibleFilterError, match=message):
        translated(**more)
