"""What playbooks/plan.yml shows for dev, test and ci, row by row of the specification. No engine."""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from tests.by_path import ROOT, environment_variables
from tests.provisioning import clean_plan, playbook

SERVICES = ("postgres", "redis", "app", "callback")
FAKE = {"test": ("fake-schwab",), "ci": ("fake-schwab",)}
OWNER = "<owner of the checkout, or 10001:10001 where it is root>"
Declared = dict[str, dict[str, Any]]


def declare(folder: Path, *arguments: str) -> Declared:
    """Return environment to what a fresh clone declares: containers by service, networks and volumes."""
    shown = clean_plan.show(clean_plan.clone(folder), "-e", "plan_format=json", *arguments)
    declared: Declared = json.loads(shown)
    for environment_name, content in declared.items():
        prefix = f"-{environment_name}-"
        content["containers"] = {
            name.split(prefix)[1]: spec | {"name": name} for name, spec in content["containers"].items()
        }
    return declared


@pytest.fixture(scope="session")
def declared(tmp_path_factory: pytest.TempPathFactory) -> Declared:
    return declare(tmp_path_factory.mktemp("declared"))


@pytest.mark.parametrize("environment", ["dev", "test", "ci"])
def test_services_under_their_names(declared: Declared, environment: str) -> None:
    containers = declared[environment]["containers"]
    assert {service: spec["name"] for service, spec in containers.items()} == {
        service: f"dashtam-{environment}-{service}" for service in SERVICES + FAKE.get(environment, ())
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
                "dashtam.checkout": "<checkout>",
            }
            == spec["labels"]
        )


@pytest.mark.parametrize(
    ("environment", "ports"),
    [
        ("dev", {"app": "8000:8000", "callback": "8182:8182", "postgres": "5432:5432", "redis": "6379:6379"}),
        (
            "test",
            {
                "app": "8001:8000",
                "callback": "8183:8182",
                "postgres": "5433:5432",
                "redis": "6380:6379",
                "fake-schwab": "9444:9443",
            },
        ),
        ("ci", {}),
    ],
)
def test_published_ports(declared: Declared, environment: str, ports: dict[str, str]) -> None:
    for service, spec in declared[environment]["containers"].items():
        assert spec["published_ports"] == [f"127.0.0.1:{ports[service]}" for _ in [0] if service in ports]


def test_only_ci_has_no_route_out(declared: Declared) -> None:
    assert {name: content["networks"] for name, content in declared.items()} == {
        name: {
            f"dashtam-{name}-network": {
                "internal": name == "ci",
                "labels": {
                    "dashtam.environment": name,
                    "dashtam.instance": "dashtam",
                    "dashtam.checkout": "<checkout>",
                    "dashtam.service": "network",
                },
            }
        }
        for name in ("dev", "test", "ci")
    }


def test_storage(declared: Declared) -> None:
    assert list(declared["dev"]["volumes"]) == ["postgres_dev_data", "redis_dev_data"]
    assert declared["test"]["volumes"] == declared["ci"]["volumes"] == {}
    for environment, kind in (("dev", "volume"), ("test", "tmpfs"), ("ci", "tmpfs")):
        for service, target in (("postgres", "/var/lib/postgresql/data"), ("redis", "/data")):
            mounts = declared[environment]["containers"][service]["mounts"]
            assert [(mount["type"], mount["target"]) for mount in mounts if mount["target"] == target] == [
                (kind, target)
            ]


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
    # A shell writes the users first, see roles/redis/files/start.sh.
    assert {name: command[4:] for name, command in commands.items()} == {
        "dev": ["redis-server", "--appendonly", "yes"],
        "test": ["redis-server", "--appendonly", "no", "--dir", "/tmp"],
        "ci": ["redis-server", "--appendonly", "no", "--dir", "/tmp", "--save", ""],
    }


def test_redis_has_a_password_and_the_app_its_keys_alone(declared: Declared) -> None:
    for environment, content in declared.items():
        redis, app = (content["containers"][service] for service in ("redis", "app"))
        assert redis["env"]["REDIS_PASSWORD"] == "GENERATED-REDIS-PASSWORD"
        assert not [word for word in redis["command"] if "GENERATED" in word]
        assert app["env"]["REDIS_URL"].startswith("redis://app:GENERATED-REDIS-PASSWORD@redis:6379/")
        keys = [rule for rule in redis["env"]["REDIS_RULES"].split() if rule.startswith("~")]
        assert keys == (["~dashtam:*"] if environment == "dev" else ["~dashtam:*", "~gw*"])


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
                "REDIS_URL": "redis://app:GENERATED-REDIS-PASSWORD@redis:6379/0",
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
                "REDIS_URL": "redis://app:GENERATED-REDIS-PASSWORD@redis:6379/1",
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
                "REDIS_URL": "redis://app:GENERATED-REDIS-PASSWORD@redis:6379/1",
                "SCHWAB_REDIRECT_URI": "https://127.0.0.1:8182",
            },
        ),
    ],
)
def test_app_environment(declared: Declared, environment: str, values: dict[str, str]) -> None:
    env = declared[environment]["containers"]["app"]["env"]
    assert env | values == env
    assert all(isinstance(value, str) for value in env.values())
    user, database = values["POSTGRES_USER"], values["POSTGRES_DB"]
    runtime = user.replace("_user", "_app")
    for name, role, password in (
        ("DATABASE_URL", user, "GENERATED-POSTGRES-PASSWORD"),
        ("APP_DATABASE_URL", runtime, "GENERATED-APP-POSTGRES-PASSWORD"),
    ):
        assert env[name] == f"postgresql+asyncpg://{role}:{password}@postgres:5432/{database}"
    assert "SSL_CERT_FILE" not in env


def test_secrets_reach_the_app_alone_but_for_the_token_that_the_callback_shares_with_it(
    declared: Declared,
) -> None:
    server = {
        *("ENVIRONMENT", "DEBUG", "LOG_LEVEL", "TRUSTED_PROXIES"),
        *("SSL_ENABLED", "TLS_CERT_FILE", "TLS_KEY_FILE", "TLS_CA_FILE"),
    }
    for environment, content in declared.items():
        masked = {
            service: {name for name, value in spec["env"].items() if "GENERATED" in value}
            for service, spec in content["containers"].items()
        }
        assert masked["app"] > masked["callback"] == {"RELAY_TOKEN"}
        assert masked["postgres"] == set()
        assert masked["redis"] == {"REDIS_PASSWORD"}
        relay = {"CALLBACK_PORT", "APP_URL", "RELAY_TOKEN"}
        assert content["containers"]["callback"]["env"].keys() == server | relay
        for service in FAKE.get(environment, ()):
            assert masked[service] == set()
            client = {"FAKE_SCHWAB_PORT", "SCHWAB_API_KEY", "SCHWAB_API_SECRET", "SCHWAB_REDIRECT_URI"}
            assert content["containers"][service]["env"].keys() == server | client


def test_mounts_are_single_and_never_the_repository_its_env_or_the_ca_key(declared: Declared) -> None:
    for environment, content in declared.items():
        fakes = [(service, ("src",)) for service in FAKE.get(environment, ())]
        for service, folders in (("app", ("src", "tests")), ("callback", ("src",)), *fakes):
            mounts = [mount for mount in content["containers"][service]["mounts"] if mount["type"] == "bind"]
            found = {mount["target"]: mount["source"] for mount in mounts}
            own = "" if service == "app" else f"{service}-"
            certificates = {
                f"/app/certs/{name}.pem": f"<checkout>/certs/{prefix}{name}.pem"
                for name, prefix in (("ca", ""), ("cert", own), ("key", own))
            }
            assert found == certificates | {f"/app/{folder}": f"<checkout>/{folder}" for folder in folders}
            for mount in mounts:
                assert mount["read_only"] is True


def test_restart_policy_and_reload(declared: Declared) -> None:
    for environment, content in declared.items():
        for spec in content["containers"].values():
            assert spec["restart_policy"] == ("unless-stopped" if environment == "dev" else "no")
        for service in ("app", "callback"):
            assert ("--reload" in content["containers"][service]["command"]) is (environment == "dev")


def test_a_switch_is_no_text(declared: Declared, tmp_path: Path) -> None:
    switches = "app_reload=false callback_source_read_only=true dashtam_debug=no postgres_disposable=no"
    found = declare(tmp_path, "-e", switches, "--limit", "dev")
    app, callback, postgres = (found["dev"]["containers"][name] for name in ("app", "callback", "postgres"))
    assert "--reload" not in app["command"]
    assert "--reload" in callback["command"]
    assert {mount["read_only"] for mount in callback["mounts"] if mount["type"] == "bind"} == {True}
    assert app["env"]["DEBUG"] == "false"
    assert postgres == declared["dev"]["containers"]["postgres"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"postgres_database": "Dash Board"},
            "postgres_database, postgres_owner, postgres_runtime_role: a name",
        ),
        ({"postgres_owner": "dash'tam"}, "postgres_owner: a name consists of"),
        ({"postgres_owner": "-dashtam"}, "postgres_owner: a name consists of"),
        ({"postgres_owner": "dashtam\n"}, "postgres_owner: a name consists of"),
        ({"postgres_owner": "d" * 64}, "postgres_owner: a name consists of"),
        ({"postgres_owner": "postgres"}, "postgres_owner: PostgreSQL itself uses the name postgres."),
        (
            {"postgres_runtime_role": "pg_monitor"},
            "postgres_runtime_role: PostgreSQL itself uses the name pg_mon",
        ),
        ({"postgres_database": "template1"}, "postgres_database: PostgreSQL itself uses the name template1."),
        ({"postgres_runtime_role": "dashtam_user"}, "a runtime role apart from the owner needs"),
        (
            {
                "postgres_database": "2048-dash_board",
                "postgres_owner": "postgres_owner",
                "postgres_storage": "tmpfs",
            },
            "",
        ),
    ],
)
def test_names_for_postgresql(given: dict[str, str], said: str) -> None:
    process = playbook.start("playbooks/plan.yml", "--limit", "dev", "-e", json.dumps(given))
    output = playbook.finish(process, 2 if said else 0)
    assert said in output
    assert not said or len(output.strip().splitlines()) == 1


AWKWARD = "owner %@:/#$'\" space"


def test_with_tls_the_servers_take_nothing_else_and_have_a_key_each(tmp_path: Path) -> None:
    for content in declare(tmp_path, "-e", "postgres_tls=true redis_tls=true").values():
        postgres, redis, app = (content["containers"][name] for name in ("postgres", "redis", "app"))
        assert "-cssl=on" in postgres["command"]
        networks = [
            line for line in postgres["env"]["POSTGRES_HBA"].splitlines() if not line.startswith("local")
        ]
        assert [line.split() for line in networks] == [
            ["host", "all", "postgres", "all", "reject"],
            ["hostssl", "all", "all", "all", "scram-sha-256"],
        ]
        settings = redis["command"][redis["command"].index("redis-server") + 1 :]
        assert tuple(settings[settings.index(name) + 1] for name in ("--port", "--tls-port")) == ("0", "6379")
        assert app["env"]["POSTGRES_TLS"] == "true"
        assert app["env"]["REDIS_URL"].startswith("rediss://app:")
        assert "?" not in app["env"]["DATABASE_URL"] + app["env"]["REDIS_URL"]
        # No text of a key is in a plan.
        assert postgres["env"]["POSTGRES_TLS_KEY"] == "GIVEN-POSTGRES-TLS-KEY"
        assert redis["env"]["REDIS_TLS_KEY"] == "GIVEN-REDIS-TLS-KEY"


# What the plan leaves open: the owner of the checkout, and secrets.
WIRED = """
- hosts: all
  gather_facts: false
  roles: [ROOT/playbooks/environment]
  vars:
    dashtam_checkout: /checkout
    keys_values: {POSTGRES_PASSWORD: &awkward AWKWARD, APP_POSTGRES_PASSWORD: *awkward}
  tasks:
    - ansible.builtin.debug:
        msg: "URLS: {{ [dashtam_app_env.DATABASE_URL, dashtam_app_env.APP_DATABASE_URL] | to_json }}"
    - ansible.builtin.debug:
        msg: "USERS: {{ dashtam_container_user }} for {{ dashtam_checkout_owner }}."
      loop: ["0:0", "0:100", "1000:1001"]
      loop_control:
        loop_var: dashtam_checkout_owner
"""


def test_urls_quote_awkward_passwords_and_a_root_checkout_makes_no_root_process(tmp_path: Path) -> None:
    play = tmp_path / "play.yml"
    play.write_text(WIRED.replace("ROOT", str(ROOT)).replace("AWKWARD", json.dumps(AWKWARD)))
    said = playbook.finish(
        playbook.start("-i", "inventories/test", str(play), ANSIBLE_DISPLAY_OK_HOSTS="true")
    )
    for role in ("dashtam_test_user", "dashtam_test_app"):
        assert f"postgresql+asyncpg://{role}:{quote(AWKWARD, safe='')}@postgres:5432/dashtam_test" in said
    for owner, user in (("0:0", "10001:10001"), ("0:100", "10001:10001"), ("1000:1001", "1000:1001")):
        assert f"USERS: {user} for {owner}." in said


def test_our_servers_are_confined(declared: Declared) -> None:
    for environment, content in declared.items():
        for service in ("app", "callback", *FAKE.get(environment, ())):
            spec = content["containers"][service]
            assert (spec["user"], spec["read_only"], spec["cap_drop"]) == (OWNER, True, ["ALL"])


def test_an_instance_has_names_ports_and_volumes_of_its_own(declared: Declared, tmp_path: Path) -> None:
    copy = declare(
        tmp_path, "-e", "dashtam_instance=second", "-e", "dashtam_port_offset=10", "--limit", "dev"
    )["dev"]
    assert list(copy["volumes"]) == ["second_postgres_dev_data", "second_redis_dev_data"]
    assert list(copy["networks"]) == ["second-dev-network"]
    for service, spec in copy["containers"].items():
        first = declared["dev"]["containers"][service]
        assert spec["name"] == f"second-dev-{service}"
        assert (
            int(spec["published_ports"][0].split(":")[1])
            == int(first["published_ports"][0].split(":")[1]) + 10
        )
    assert copy["containers"]["app"]["env"]["SCHWAB_REDIRECT_URI"] == "https://127.0.0.1:8192"


SCHWAB = ("SCHWAB_API_KEY", "SCHWAB_API_SECRET", "SCHWAB_AUTHORIZE_URL", "SCHWAB_TOKEN_URL")


def test_dev_uses_schwab_itself_until_it_is_told_to_use_the_fake(declared: Declared, tmp_path: Path) -> None:
    env = declared["dev"]["containers"]["app"]["env"]
    assert {name: env.get(name) for name in SCHWAB} == dict.fromkeys(SCHWAB[:2], "") | dict.fromkeys(
        SCHWAB[2:]
    )
    on = ("-e", "dashtam_services=fake_schwab", "-e", "dashtam_port_offset=10", "-e", "SCHWAB_API_KEY=own")
    containers = declare(tmp_path, "--limit", "dev", *on)["dev"]["containers"]
    assert {name: containers["app"]["env"][name] for name in SCHWAB} == {
        "SCHWAB_API_KEY": "GIVEN-SCHWAB-API-KEY",
        "SCHWAB_API_SECRET": "fake-schwab-secret",
        "SCHWAB_AUTHORIZE_URL": "https://localhost:9453/v1/oauth/authorize",
        "SCHWAB_TOKEN_URL": "https://fake-schwab:9443/v1/oauth/token",
    }
    fake = containers["fake-schwab"]
    assert fake["published_ports"] == ["127.0.0.1:9453:9443"]
    # The same client on both sides.
    shared = ("SCHWAB_API_KEY", "SCHWAB_API_SECRET", "SCHWAB_REDIRECT_URI")
    assert {name: fake["env"][name] for name in shared} == {
        name: containers["app"]["env"][name] for name in shared
    }
    # What it has granted is in its memory.
    assert "--reload" not in fake["command"]


def test_the_inbox_takes_all_mail_once_it_is_switched_on(declared: Declared, tmp_path: Path) -> None:
    mail = ("SMTP_HOST", "SMTP_PORT", "SMTP_USER", "SMTP_SECURITY", "MAIL_FROM")
    for content in declared.values():
        env = content["containers"]["app"]["env"]
        assert [env[name] for name in mail] == ["", "587", "", "starttls", ""]
    own = {
        "SMTP_HOST": "smtp.example.org",
        "SMTP_PORT": 465,
        "SMTP_USER": "dashtam",
        "MAIL_FROM": "a@example.org",
    }
    on = {"dashtam_services": ["mail"], "dashtam_port_offset": 10}
    containers = declare(tmp_path, "--limit", "dev", "-e", json.dumps(own | on))["dev"]["containers"]
    env = containers["app"]["env"]
    assert [env[name] for name in mail] == ["mail", "1025", "", "none", "a@example.org"]
    inbox = containers["mail"]
    assert inbox["published_ports"] == ["127.0.0.1:8035:8025"]
    assert inbox["env"].keys() == declared["dev"]["containers"]["callback"]["env"].keys() - {
        *("CALLBACK_PORT", "APP_URL", "RELAY_TOKEN")
    } | {"MAIL_INBOX_PORT", "MAIL_INBOX_SMTP_PORT"}
    # It is confined as the callback server is, and what it has received is in its memory.
    callback = containers["callback"]
    same = ("user", "read_only", "cap_drop", "memory", "restart_policy")
    assert {name: inbox[name] for name in same} == {name: callback[name] for name in same}
    assert [mount["target"] for mount in inbox["mounts"]] == [mount["target"] for mount in callback["mounts"]]
    assert "--reload" not in inbox["command"]


def test_monitoring_changes_what_it_watches_and_nothing_else(declared: Declared, tmp_path: Path) -> None:
    on = {"dashtam_services": ["fake_schwab", "monitoring"], "postgres_tls": True, "redis_tls": True}
    everywhere = declare(tmp_path, "-e", json.dumps(on))
    for environment, ports in {
        "dev": ["127.0.0.1:9090:9090"],
        "test": ["127.0.0.1:9091:9090"],
        "ci": [],
    }.items():
        containers = everywhere[environment]["containers"]
        parts = {name: containers[name] for name in ("prometheus", "postgres-exporter", "redis-exporter")}
        assert [part["published_ports"] for part in parts.values()] == [ports, [], []]
        callback = containers["callback"]
        same = ("user", "read_only", "cap_drop", "security_opts", "restart_policy", "network", "init")
        for part in parts.values():
            assert {name: part[name] for name in same} == {name: callback[name] for name in same}
        # No source, and of keys its own.
        assert {
            mount["source"] for part in parts.values() for mount in part["mounts"] if mount["type"] == "bind"
        } == {f"<checkout>/certs/{name}.pem" for name in ("ca", "prometheus-cert", "prometheus-key")}
        env = {name: part["env"] for name, part in parts.items()}
        assert "sslmode=verify-full" in env["postgres-exporter"]["DATA_SOURCE_URI"]
        assert env["redis-exporter"]["REDIS_ADDR"] == "rediss://redis:6379"
        assert env["postgres-exporter"]["DATA_SOURCE_PASS"] == "GENERATED-MONITOR-PASSWORD"
        assert "{{ $labels.route }}" in env["prometheus"]["PROMETHEUS_ALERTS"]
        volumes = {mount["source"] for mount in parts["prometheus"]["mounts"] if mount["type"] == "volume"}
        assert volumes == ({"prometheus_dev_data"} if environment == "dev" else set())
        assert containers["app"]["env"]["METRICS_PORT"] == "9100"
        assert "METRICS_PORT" not in declared[environment]["containers"]["app"]["env"]
        assert "monitor" not in declared[environment]["containers"]["redis"]["env"]["REDIS_RULES"]


def test_a_dashboard_beside_prometheus_has_no_account_and_asks_nobody_outside(
    declared: Declared, tmp_path: Path
) -> None:
    on = {"dashtam_services": ["fake_schwab", "monitoring", "grafana"]}
    everywhere = declare(tmp_path, "-e", json.dumps(on))
    for environment, ports in {
        "dev": ["127.0.0.1:3000:3000"],
        "test": ["127.0.0.1:3001:3000"],
        "ci": [],
    }.items():
        containers = everywhere[environment]["containers"]
        grafana, callback = containers["grafana"], containers["callback"]
        assert grafana["published_ports"] == ports
        same = ("user", "read_only", "cap_drop", "security_opts", "restart_policy", "network", "init")
        assert {name: grafana[name] for name in same} == {name: callback[name] for name in same}
        binds = {
            mount["source"]: mount["read_only"] for mount in grafana["mounts"] if mount["type"] == "bind"
        }
        keys = {f"<checkout>/certs/{name}.pem" for name in ("ca", "grafana-cert", "grafana-key")}
        assert binds == dict.fromkeys({"<checkout>/monitoring/grafana", *keys}, True)
        env = grafana["env"]
        assert (env["GF_AUTH_ANONYMOUS_ORG_ROLE"], env["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"]) == (
            "Viewer",
            "true",
        )
        assert not [name for name in env if "PASSWORD" in name or "SECRET" in name]
        assert grafana["image"].startswith("grafana/grafana:")


def test_a_dashboard_without_prometheus_is_refused() -> None:
    process = playbook.start(
        "playbooks/plan.yml", "--limit", "dev", "-e", json.dumps({"dashtam_services": ["grafana"]})
    )
    said = playbook.finish(process, 2)
    assert "dashtam_services: grafana shows what Prometheus has counted. Add monitoring to it." in said


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"dashtam_services": ["monitoring", "grafana"]},
            "dashtam_services: grafana does not run on a Swarm. Remove",
        ),
        (
            {"dashtam_services": "fake_schwab"},
            "dashtam_services: fake_schwab does not run on a Swarm. Remove",
        ),
        ({"prometheus_host_port": 9090}, "prometheus_host_port: a Swarm would publish it on all addresses"),
    ],
)
def test_a_stage_refuses_what_it_cannot_keep_to_itself(given: dict[str, object], said: str) -> None:
    arguments = ("-i", "inventories/staging", "playbooks/staging_plan.yml", "-e", json.dumps(given))
    assert said in playbook.finish(playbook.start(*arguments), 2)


def test_a_stage_is_watched_from_inside_and_the_passwords_are_files(tmp_path: Path) -> None:
    checkout = clean_plan.clone(tmp_path)

    def services(*given: str) -> dict[str, Any]:
        values = json.dumps({"plan_format": "json", "dashtam_services": given})
        (stage,) = json.loads(clean_plan.show_staging(checkout, "-e", values)).values()
        return {name.removeprefix("dashtam-staging-"): one for name, one in stage["services"].items()}

    plain, watched = services(), services("monitoring")
    parts = {name: watched[name] for name in watched.keys() - plain.keys()}
    assert parts.keys() == {"prometheus", "postgres-exporter", "redis-exporter"}
    for part in parts.values():
        assert part["publish"] == []
        assert part["placement"] == {"constraints": ["node.labels.data == true"]}
        assert part["user"] == watched["app"]["user"]
    env = {name: part["env"] for name, part in parts.items()}
    assert "password" not in json.dumps(env["prometheus"]).lower()
    assert (
        "make staging-status, then docker service logs dashtam-staging-app"
        in env["prometheus"]["PROMETHEUS_ALERTS"]
    )
    (app, *_) = json.loads(env["prometheus"]["PROMETHEUS_CONFIG"])["scrape_configs"]
    assert [one["names"] for one in app["dns_sd_configs"]] == [["app."]]
    for name, file, variable in (
        ("postgres-exporter", "DATA_SOURCE_PASS", "DATA_SOURCE_PASS_FILE"),
        ("redis-exporter", "REDIS_MONITOR_PASSWORDS", "REDIS_PASSWORD_FILE"),
    ):
        assert env[name][variable] == f"/run/secrets/{file}"
        assert file in parts[name]["secrets"]
        assert "MONITOR-PASSWORD" not in json.dumps(parts[name])
    assert watched["app"]["env"]["METRICS_PORT"] == "9100"
    assert "monitor" in watched["redis"]["env"]["REDIS_RULES"]
    assert watched["balancer"] == plain["balancer"]


def test_traces_go_where_a_person_says_and_nowhere_else(declared: Declared, tmp_path: Path) -> None:
    for content in declared.values():
        for spec in content["containers"].values():
            assert not [name for name in spec["env"] if name.startswith("OTEL_")]
    given = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_TRACES_SAMPLER_ARG": 0.1}
    containers = declare(tmp_path, "--limit", "dev", "-e", json.dumps(given))["dev"]["containers"]
    env = containers["app"]["env"]
    assert {name: value for name, value in env.items() if name.startswith("OTEL_")} == {
        name: str(value) for name, value in given.items()
    }
    assert env.keys() - given.keys() == declared["dev"]["containers"]["app"]["env"].keys()


def test_a_compose_file_without_the_hash_that_redis_needs_is_refused() -> None:
    given = {"dashtam_services": ["monitoring"], "plan_format": "compose"}
    process = playbook.start("playbooks/plan.yml", "--limit", "dev", "-e", json.dumps(given))
    assert "monitoring: Redis is given the hash of a password" in playbook.finish(process, 2)


@pytest.mark.parametrize("name", ["monitoring_interval", "monitoring_down_after"])
def test_a_time_that_prometheus_would_refuse_stops_the_run(name: str) -> None:
    given = {"dashtam_services": ["monitoring"], name: "1 minute"}
    process = playbook.start("playbooks/plan.yml", "--limit", "dev", "-e", json.dumps(given))
    said = playbook.finish(process, 2)
    assert f"{name}: a time is a number of seconds, minutes or hours, such as 15s or 1m." in said


def test_test_packages_are_where_tests_or_a_debugger_run(declared: Declared, tmp_path: Path) -> None:
    def images(containers: dict[str, Any]) -> dict[str, str]:
        ours = ("app", "callback", "fake-schwab", "mail")
        return {name: containers[name]["image"].split(":")[0] for name in ours if name in containers}

    app, tests = "dashtam/app", "dashtam/app-tests"
    assert images(declared["dev"]["containers"]) == {"app": app, "callback": app}
    for environment in ("test", "ci"):
        containers = declared[environment]["containers"]
        assert images(containers) == {"app": tests, "callback": app, "fake-schwab": app}
    on = {"app_debug_port": 5678, "dashtam_services": ["fake_schwab", "mail"]}
    containers = declare(tmp_path, "--limit", "dev", "-e", json.dumps(on))["dev"]["containers"]
    # The inbox runs on aiosmtpd.
    assert images(containers) == {"app": tests, "callback": app, "fake-schwab": app, "mail": tests}


PRODUCTION = {"dashtam_mode": "production"}


def test_production_is_a_mode_without_what_is_for_development(tmp_path: Path) -> None:
    containers = declare(tmp_path, "--limit", "dev", "-e", json.dumps(PRODUCTION))["dev"]["containers"]
    assert set(containers) == {"postgres", "redis", "app", "callback"}
    wanted = {"ENVIRONMENT": "production", "DEBUG": "false", "TESTING": "false"}
    assert {name: containers["app"]["env"][name] for name in wanted} == wanted
    assert containers["app"]["image"].startswith("dashtam/app:")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"dashtam_services": ["fake_schwab", "mail"]},
            ["fake_schwab is for development", "mail is for dev"],
        ),
        ({"dashtam_debug": True}, ["dashtam_debug: must be false"]),
        ({"dashtam_testing": True}, ["dashtam_testing: must be false"]),
        ({"app_debug_port": 5678}, ["app_debug_port: "]),
        (
            {"SMTP_HOST": "smtp.example.org", "MAIL_FROM": "a@example.org", "SMTP_SECURITY": "none"},
            ["SMTP_SECURITY is none, and mail would travel in clear."],
        ),
    ],
)
def test_what_production_refuses_stops_the_run(given: dict[str, Any], said: list[str]) -> None:
    arguments = ("--limit", "dev", "-e", json.dumps(PRODUCTION | given))
    lines = playbook.finish(playbook.start("playbooks/plan.yml", *arguments), 2).strip().splitlines()
    assert len(lines) == len(said)
    for line, expected in zip(lines, said, strict=True):
        assert expected in line


SERVER = {"SMTP_HOST": "smtp.example.org", "SMTP_USER": "dashtam", "MAIL_FROM": "a@example.org"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"MAIL_FROM": ""}, ["MAIL_FROM is not an address.", "SMTP_USER and SMTP_PASSWORD go together."]),
        ({"SMTP_PASSWORD": "hunter2-hunter2", "SMTP_SECURITY": "none"}, ["SMTP_SECURITY is none"]),
    ],
)
def test_mail_settings_that_the_app_would_refuse_stop_the_run(given: dict[str, str], said: list[str]) -> None:
    process = playbook.start("playbooks/plan.yml", "--limit", "dev", "-e", json.dumps(SERVER | given))
    lines = playbook.finish(process, 2).strip().splitlines()
    assert len(lines) == len(said)
    for line, expected in zip(lines, said, strict=True):
        assert expected in line
        assert "hunter2" not in line


def test_a_services_port_is_moved_by_the_variable_that_the_advice_about_a_taken_port_names() -> None:
    """Advice makes the variable's name from the service's."""
    variables = environment_variables()
    exporters = {"postgres_exporter", "redis_exporter"}  # they publish nothing
    services = {*SERVICES, *variables["dashtam_known_services"]} - exporters
    assert {f"{service}_host_port" for service in services} <= set(variables["validate_ports"])


def test_the_fakes_browser_address_is_one_that_can_be_reached(declared: Declared) -> None:
    found = {name: declared[name]["containers"]["app"]["env"]["SCHWAB_AUTHORIZE_URL"] for name in FAKE}
    assert found == {
        "test": "https://localhost:9444/v1/oauth/authorize",
        "ci": "https://fake-schwab:9443/v1/oauth/authorize",
    }


def said(environment: str) -> dict[str, Any]:
    """Return what an environment's one inventory file sets."""
    folder = ROOT / f"inventories/{environment}"
    files = [path for path in (folder / "group_vars").rglob("*") if path.is_file()]
    assert files == [folder / f"group_vars/{environment}.yml"]
    content: dict[str, Any] = yaml.safe_load(files[0].read_text())
    return content


@pytest.mark.parametrize("environment", clean_plan.ENVIRONMENTS)
def test_an_inventory_is_one_file_on_one_screen_that_repeats_no_default(environment: str) -> None:
    defaults = {
        name: value
        for path in (
            ROOT / "playbooks/environment/defaults/main.yml",
            *ROOT.glob("roles/*/defaults/main.yml"),
        )
        for name, value in (yaml.safe_load(path.read_text()) or {}).items()
    }
    repeated = {
        name for name, value in said(environment).items() if name in defaults and defaults[name] == value
    }
    assert repeated == set()
    lines = (ROOT / f"inventories/{environment}/group_vars/{environment}.yml").read_text().splitlines()
    assert len(lines) <= 30


@pytest.mark.parametrize("environment", clean_plan.ENVIRONMENTS)
def test_the_group_disposable_holds_the_environments_that_say_so(environment: str) -> None:
    groups = yaml.safe_load((ROOT / f"inventories/{environment}/hosts.yml").read_text())["all"]["children"]
    listed = environment in groups.get("disposable", {}).get("children", {})
    assert listed is said(environment).get("dashtam_disposable", False)


def test_one_switch_makes_an_environment_disposable(declared: Declared, tmp_path: Path) -> None:
    found = declare(tmp_path, "--limit", "dev", "-e", "dashtam_disposable=yes dashtam_restart_policy=always")
    assert found["dev"]["volumes"] == {}
    postgres = found["dev"]["containers"]["postgres"]
    assert settings(postgres) | FAST == settings(postgres)
    assert {spec["restart_policy"] for spec in found["dev"]["containers"].values()} == {"always"}
    # Its mode is another matter.
    before, after = (each["dev"]["containers"]["app"]["env"] for each in (declared, found))
    assert before == after


def test_every_value_that_the_template_of_a_persons_file_names_may_be_set() -> None:
    template = (ROOT / "templates/local.yml.j2").read_text(encoding="utf-8")
    variables = environment_variables()
    named = set(re.findall(r"^# ([A-Z][A-Z0-9_]*):", template, re.MULTILINE))
    assert named
    # Those that a CI job's process environment must not set are options of the environment alone.
    assert named <= {*variables["dashtam_value_names"], *variables["validate_options"]}
    # Of two lines with one key, both taken into use, one counts.
    keys = re.findall(r"^# ([A-Za-z][A-Za-z0-9_]*):", template, re.MULTILINE)
    assert "dashtam_services" in keys
    assert sorted(set(keys)) == sorted(keys)
