"""What the role container is handed for dev, test and ci, row by row of the specification. No engine."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.by_path import ROOT
from tests.provisioning import playbook

SERVICES = ("postgres", "redis", "app", "callback")
Declared = dict[str, dict[str, Any]]


def declare(folder: Path, *arguments: str) -> Declared:
    """Return environment to what is declared, as the roles' own variables say it."""
    inventories = ("-i", "inventories/dev", "-i", "inventories/test", "-i", "inventories/ci")
    # As JSON: `-e name=value` ends at a path's space.
    extra = ("-e", json.dumps({"dashtam_checkout": str(ROOT), "declared_folder": str(folder)}))
    playbook.finish(playbook.start(*inventories, *extra, *arguments, "tests/provisioning/declared.yml"))
    declared = {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}
    for environment_name, content in declared.items():
        prefix = f"-{environment_name}-"
        content["containers"] = {spec["name"].split(prefix)[1]: spec for spec in content["containers"]}
    return declared


@pytest.fixture(scope="session")
def declared(tmp_path_factory: pytest.TempPathFactory) -> Declared:
    return declare(tmp_path_factory.mktemp("declared"))


@pytest.mark.parametrize("environment", ["dev", "test", "ci"])
def test_four_services_under_their_names(declared: Declared, environment: str) -> None:
    containers = declared[environment]["containers"]
    assert {service: spec["name"] for service, spec in containers.items()} == {
        service: f"dashtam-{environment}-{service}" for service in SERVICES
    }
    for service, spec in containers.items():
        assert spec["network"] == f"dashtam-{environment}-network"
        assert spec["aliases"] == [service]
        assert (
            spec["labels"]
            | {
                "dashtam.environment": environment,
                "dashtam.instance": "dashtam",
                "dashtam.service": service,
                "dashtam.checkout": str(ROOT),
            }
            == spec["labels"]
        )


@pytest.mark.parametrize(
    ("environment", "ports"),
    [
        ("dev", {"app": "8000:8000", "callback": "8182:8182", "postgres": "5432:5432", "redis": "6379:6379"}),
        (
            "test",
            {"app": "8001:8000", "callback": "8183:8182", "postgres": "5433:5432", "redis": "6380:6379"},
        ),
        ("ci", {}),
    ],
)
def test_published_ports(declared: Declared, environment: str, ports: dict[str, str]) -> None:
    for service, spec in declared[environment]["containers"].items():
        assert spec["published_ports"] == [f"127.0.0.1:{ports[service]}" for _ in [0] if service in ports]


def test_only_ci_has_no_route_out(declared: Declared) -> None:
    assert {name: content["network"]["internal"] for name, content in declared.items()} == {
        "dev": False,
        "test": False,
        "ci": True,
    }


def test_storage(declared: Declared) -> None:
    assert [volume["name"] for volume in declared["dev"]["volumes"]] == [
        "postgres_dev_data",
        "redis_dev_data",
    ]
    assert declared["test"]["volumes"] == declared["ci"]["volumes"] == []
    for environment, kind in (("dev", "volume"), ("test", "tmpfs"), ("ci", "tmpfs")):
        for service, target in (("postgres", "/var/lib/postgresql/data"), ("redis", "/data")):
            mounts = declared[environment]["containers"][service]["mounts"]
            assert [(mount["type"], mount["target"]) for mount in mounts] == [(kind, target)]


def settings(spec: dict[str, Any]) -> dict[str, str]:
    return dict(word[2:].split("=", 1) for word in spec["command"] if word.startswith("-c") and "=" in word)


FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
CI = {
    "shared_buffers": "256MB",
    "effective_cache_size": "512MB",
    "random_page_cost": "1.0",
    "maintenance_work_mem": "128MB",
    "wal_buffers": "16MB",
    "max_connections": "100",
}


@pytest.mark.parametrize(("environment", "tuning"), [("dev", {}), ("test", FAST), ("ci", FAST | CI)])
def test_postgres_tuning(declared: Declared, environment: str, tuning: dict[str, str]) -> None:
    common = {"timezone", "log_timezone", "password_encryption", "hba_file"}
    found = settings(declared[environment]["containers"]["postgres"])
    assert {name: value for name, value in found.items() if name not in common} == tuning


def test_redis_persistence(declared: Declared) -> None:
    commands = {name: content["containers"]["redis"]["command"] for name, content in declared.items()}
    assert commands == {
        "dev": ["redis-server", "--appendonly", "yes"],
        "test": ["redis-server", "--appendonly", "no"],
        "ci": ["redis-server", "--appendonly", "no", "--save", ""],
    }


@pytest.mark.parametrize(
    ("environment", "values"),
    [
        (
            "dev",
            {
                "ENVIRONMENT": "development",
                "DEBUG": "true",
                "TESTING": "false",
                "POSTGRES_DB": "dashtam",
                "POSTGRES_USER": "dashtam_user",
                "REDIS_URL": "redis://redis:6379/0",
                "SCHWAB_REDIRECT_URI": "https://127.0.0.1:8182",
            },
        ),
        (
            "test",
            {
                "ENVIRONMENT": "testing",
                "DEBUG": "true",
                "TESTING": "true",
                "POSTGRES_DB": "dashtam_test",
                "POSTGRES_USER": "dashtam_test_user",
                "REDIS_URL": "redis://redis:6379/1",
                "SCHWAB_REDIRECT_URI": "https://127.0.0.1:8183",
            },
        ),
        (
            "ci",
            {
                "ENVIRONMENT": "testing",
                "DEBUG": "false",
                "TESTING": "true",
                "POSTGRES_DB": "dashtam_test",
                "POSTGRES_USER": "dashtam_test_user",
                "REDIS_URL": "redis://redis:6379/1",
                "SCHWAB_REDIRECT_URI": "https://127.0.0.1:8182",
            },
        ),
    ],
)
def test_app_environment(declared: Declared, environment: str, values: dict[str, str]) -> None:
    env = declared[environment]["containers"]["app"]["env"]
    assert env | values == env
    assert all(isinstance(value, str) for value in env.values())
    user = values["POSTGRES_USER"]
    quoted = "canary-owner%20%25%40%3A%2F%23%24%27%22%20space"
    assert (
        env["DATABASE_URL"] == f"postgresql+asyncpg://{user}:{quoted}@postgres:5432/{values['POSTGRES_DB']}"
    )
    runtime = user.replace("_user", "_app")
    assert env["APP_DATABASE_URL"].startswith(f"postgresql+asyncpg://{runtime}:canary-runtime@postgres:5432/")
    assert "SSL_CERT_FILE" not in env


def test_secrets_reach_the_app_alone(declared: Declared) -> None:
    for content in declared.values():
        for service in ("postgres", "redis", "callback"):
            assert "canary" not in json.dumps(content["containers"][service])
        assert set(content["containers"]["callback"]["env"]) == {
            *(
                "ENVIRONMENT",
                "DEBUG",
                "LOG_LEVEL",
                "SSL_ENABLED",
                "TLS_CERT_FILE",
                "TLS_KEY_FILE",
                "TLS_CA_FILE",
            ),
            *("CALLBACK_PORT", "APP_URL"),
        }


def test_mounts_are_single_and_never_the_repository_its_env_or_the_ca_key(declared: Declared) -> None:
    for environment, content in declared.items():
        certificates = {
            f"/app/certs/{name}.pem": f"{ROOT}/certs/{name}.pem" for name in ("ca", "cert", "key")
        }
        for service, folders in (("app", ("src", "tests")), ("callback", ("src",))):
            mounts = [mount for mount in content["containers"][service]["mounts"] if mount["type"] == "bind"]
            found = {mount["target"]: mount["source"] for mount in mounts}
            assert found == certificates | {f"/app/{folder}": f"{ROOT}/{folder}" for folder in folders}
            for mount in mounts:
                assert mount["read_only"] is (mount["target"] in certificates or environment == "ci")


def test_restart_policy_and_reload(declared: Declared) -> None:
    for environment, content in declared.items():
        for spec in content["containers"].values():
            assert spec["restart_policy"] == ("unless-stopped" if environment == "dev" else "no")
        for service in ("app", "callback"):
            assert ("--reload" in content["containers"][service]["command"]) is (environment == "dev")


def test_a_switch_is_no_text_and_a_root_checkout_makes_no_root_process(
    declared: Declared, tmp_path: Path
) -> None:
    switches = "app_reload=false callback_source_read_only=true dashtam_debug=no postgres_disposable=no"
    found = declare(tmp_path, "-e", f"{switches} dashtam_checkout_owner=0:0", "--limit", "dev")
    app, callback, postgres = (found["dev"]["containers"][name] for name in ("app", "callback", "postgres"))
    assert "--reload" not in app["command"]
    assert "--reload" in callback["command"]
    assert {mount["read_only"] for mount in callback["mounts"] if mount["type"] == "bind"} == {True}
    assert app["env"]["DEBUG"] == "false"
    assert app["user"] == callback["user"] == "10001:10001"
    assert postgres == declared["dev"]["containers"]["postgres"]


def test_app_and_callback_are_confined(declared: Declared) -> None:
    for content in declared.values():
        for service in ("app", "callback"):
            spec = content["containers"][service]
            assert (spec["user"], spec["read_only"], spec["cap_drop"]) == ("1000:1000", True, ["ALL"])


def test_an_instance_has_names_ports_and_volumes_of_its_own(declared: Declared, tmp_path: Path) -> None:
    copy = declare(
        tmp_path, "-e", "dashtam_instance=second", "-e", "dashtam_port_offset=10", "--limit", "dev"
    )["dev"]
    assert [volume["name"] for volume in copy["volumes"]] == [
        "second_postgres_dev_data",
        "second_redis_dev_data",
    ]
    assert copy["network"]["name"] == "second-dev-network"
    for service, spec in copy["containers"].items():
        first = declared["dev"]["containers"][service]
        assert spec["name"] == f"second-dev-{service}"
        assert (
            int(spec["published_ports"][0].split(":")[1])
            == int(first["published_ports"][0].split(":")[1]) + 10
        )
    assert copy["containers"]["app"]["env"]["SCHWAB_REDIRECT_URI"] == "https://127.0.0.1:8192"


def test_what_test_and_ci_say_twice_is_the_same() -> None:
    folders = [ROOT / f"inventories/{name}/group_vars/disposable" for name in ("test", "ci")]
    said = [
        {path.name: yaml.safe_load(path.read_text()) for path in folder.glob("*.yml")} for folder in folders
    ]
    assert said[0] == said[1] != {}


def test_no_environment_is_named_in_a_role() -> None:
    named = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in (ROOT / "roles").rglob("*.yml")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if path.name != "main.yml" or path.parent.name != "meta"  # galaxy_info names the author
        if "dashtam" in line.lower() or "groups[" in line
    ]
    assert named == []


def test_only_the_role_container_makes_containers() -> None:
    callers = {
        path.relative_to(ROOT).parts[1]
        for path in (ROOT / "roles").rglob("tasks/*.yml")
        if "community.docker.docker_container:" in path.read_text()
    }
    assert callers == {"container"}
