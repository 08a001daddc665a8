"""The optional service `monitoring` on a real engine: what is counted, who may see it, what an alert does."""

from __future__ import annotations

import json
import os
import re
import ssl
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import docker
import httpx
import pytest
import yaml

from tests.by_path import ROOT
from tests.provisioning import playbook
from tests.verify import confinement, hardening

COPY = "dashtam_instance=watch dashtam_port_offset=590"
DEV = ("-e", COPY, "playbooks/dev.yml")
WATCHED = (
    *DEV,
    "-e",
    "dashtam_services=monitoring monitoring_interval=1s monitoring_down_after=1s",
)
PARTS = ("prometheus", "postgres-exporter", "redis-exporter")
PROMETHEUS, APP = "https://localhost:9680", "https://localhost:8590"
SECONDS = 60


@pytest.fixture(scope="module")
def engine() -> docker.DockerClient:
    return docker.from_env()


@pytest.fixture(scope="module", autouse=True)
def up() -> Iterator[str]:
    """Return what the run printed that started it all."""
    yield playbook.finish(playbook.start(*WATCHED))
    confirmed = "clean_confirm=dev clean_backup=false"
    said = playbook.finish(
        playbook.start("-e", COPY, "playbooks/clean.yml", "--limit", "dev", "-e", confirmed)
    )
    for path in (ROOT / "env").glob(".*.watch*"):
        path.unlink()
    assert "watch_prometheus_dev_data" in said


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    with httpx.Client(verify=ssl.create_default_context(cafile=ROOT / "certs/ca.pem")) as client:
        yield client


def run(service: str, *command: str, code: int = 0) -> str:
    words = ["docker", "exec", f"watch-dev-{service}", *command]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == code, done.stdout
    return done.stdout


def metrics() -> str:
    return run("app", "curl", "-fsS", "--cacert", "/app/certs/ca.pem", "https://app:9100/metrics")


def until(found: Callable[[], bool], instead: object = "") -> None:
    deadline = time.monotonic() + SECONDS
    while not found():
        assert time.monotonic() < deadline, instead
        time.sleep(0.5)


def firing(http: httpx.Client) -> set[str]:
    alerts = http.get(f"{PROMETHEUS}/api/v1/alerts").json()["data"]["alerts"]
    return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}


def value(http: httpx.Client, query: str) -> list[str]:
    results = http.get(f"{PROMETHEUS}/api/v1/query", params={"query": query}).json()["data"]["result"]
    return [result["value"][1] for result in results]


def test_the_rules_say_what_they_should(engine: docker.DockerClient) -> None:
    image = engine.containers.get("watch-dev-prometheus").attrs["Config"]["Image"]
    volumes = {str(ROOT / "monitoring"): {"bind": "/rules", "mode": "ro"}}
    said = engine.containers.run(
        image,
        ["promtool", "test", "rules", "/rules/alerts_test.yml"],
        volumes=volumes,
        network_mode="none",
        remove=True,
        stderr=True,
    )
    assert b"SUCCESS" in said
    rules = (ROOT / "monitoring/alerts.yml").read_text()
    tests = (ROOT / "monitoring/alerts_test.yml").read_text()
    names = re.findall(r"- alert: (\w+)", rules)
    assert len(names) == 5
    assert all(f"alertname: {name}\n" in tests for name in names)


def test_everything_is_watched_and_confined(up: str, http: httpx.Client) -> None:
    assert re.search(r"prometheus +ready .* https://localhost:9680", up)
    until(lambda: value(http, "up") == ["1", "1", "1"])
    until(lambda: value(http, "pg_up") + value(http, "redis_up") == ["1", "1"])
    assert value(http, "pg_exporter_last_scrape_error") == ["0"]
    assert value(http, "redis_exporter_last_scrape_error") == ["0"]
    assert value(http, 'pg_database_size_bytes{datname="dashtam"} > bool 0') == ["1"]
    # On a busy machine an exporter may have been late.
    until(lambda: firing(http) == set())
    assert hardening.judge("dev", "watch") == (7 * confinement.CHECKS, 7 * confinement.CHECKS, [])
    assert "changed=0" in playbook.finish(playbook.start(*WATCHED))


def test_each_query_of_the_dashboard_has_an_answer(http: httpx.Client) -> None:
    dashboard = json.loads((ROOT / "monitoring/grafana/dashboards/dashtam.json").read_text())
    source = yaml.safe_load((ROOT / "monitoring/grafana/datasources/prometheus.yml").read_text())
    (prometheus,) = source["datasources"]
    plots = [panel for panel in dashboard["panels"] if panel["type"] == "timeseries"]
    assert {panel["datasource"]["uid"] for panel in plots} == {prometheus["uid"]}
    queries = [target["expr"] for panel in plots for target in panel["targets"]]
    assert len(queries) > 10
    http.get(f"{APP}/health").raise_for_status()
    silent: list[str] = []

    def answered() -> bool:
        silent[:] = [query for query in queries if not value(http, query)]
        return not silent

    until(answered, silent)


def test_series_have_templates_and_nobody_can_add_one(http: httpx.Client) -> None:
    someone = "ann@example.org"
    for path in (f"/api/v1/providers/{uuid.uuid4()}", f"/no/such/{someone}", f"/{uuid.uuid4()}"):
        http.get(f"{APP}{path}")
    before = metrics()
    series = 'http_requests_total{method="GET",route="%s",status="%d"}'
    assert series % ("/api/v1/providers/{provider_id}", 401) in before
    assert series % ("(none)", 404) in before
    for _ in range(5):
        http.request(f"VERB{uuid.uuid4().hex}", f"{APP}/{uuid.uuid4()}/{someone}")
        http.get(f"{APP}/{uuid.uuid4()}/{someone}")
    names = [re.findall(r"^http_requests_total\{.*?\} ", text, re.MULTILINE) for text in (before, metrics())]
    made_up = series.replace("GET", "other") % ("(none)", 404)
    assert set(names[1]) - set(names[0]) == {f"{made_up} "}
    assert someone not in metrics()


def test_only_the_network_inside_reaches_them(engine: docker.DockerClient, http: httpx.Client) -> None:
    assert http.get(f"{APP}/metrics").status_code == 404
    published = {
        name: [port for port, bound in engine.containers.get(f"watch-dev-{name}").ports.items() if bound]
        for name in ("app", *PARTS)
    }
    assert published == {
        "app": ["8000/tcp"],
        "prometheus": ["9090/tcp"],
        "postgres-exporter": [],
        "redis-exporter": [],
    }


def test_the_exporters_read_statistics_alone(engine: docker.DockerClient) -> None:
    variables = engine.containers.get("watch-dev-postgres-exporter").attrs["Config"]["Env"]
    password = dict(entry.split("=", 1) for entry in variables)["DATA_SOURCE_PASS"]
    psql = "PGPASSWORD=$0 exec psql -h 127.0.0.1 -U dashtam_monitor -d dashtam -c 'SELECT email FROM users'"
    said = run("postgres", "sh", "-c", psql, password, code=1)
    assert "permission denied for table users" in said
    for words, answer in (("GET dashtam:x", "NOPERM"), ("CONFIG GET *", "NOPERM"), ("PING", "PONG")):
        call = f"REDISCLI_AUTH=$0 exec redis-cli --no-auth-warning --user monitor {words.replace('*', '@')}"
        assert answer in run("redis", "sh", "-c", call, password)


def test_a_reload_keeps_the_listener() -> None:
    def born() -> str:
        found = re.search(r"^process_start_time_seconds (\S+)", metrics(), re.MULTILINE)
        return found[1] if found else ""

    first = born()
    os.utime(ROOT / "src/main.py")

    def again() -> bool:
        try:
            return born() != first
        except AssertionError:
            return False  # meanwhile nobody listens

    until(again)
    log = subprocess.run(["docker", "logs", "watch-dev-app"], capture_output=True, text=True, check=True)
    assert "in use" not in log.stderr


def test_an_app_that_stops_is_said_to_be_down(engine: docker.DockerClient, http: httpx.Client) -> None:
    until(lambda: firing(http) == set())
    app: Any = engine.containers.get("watch-dev-app")
    app.stop()
    until(lambda: firing(http) == {"AppDown"})
    app.start()
    until(lambda: firing(http) == set())


def test_switched_off_it_is_gone(engine: docker.DockerClient) -> None:
    playbook.finish(playbook.start(*DEV))
    running = engine.containers.list(all=True, filters={"label": "dashtam.instance=watch"})
    assert {each.name for each in running} == {
        f"watch-dev-{name}" for name in ("app", "callback", "postgres", "redis")
    }
    roles = run(
        "postgres",
        "psql",
        "-U",
        "postgres",
        "-AtXc",
        "SELECT rolname FROM pg_roles WHERE rolcanlogin ORDER BY 1",
    )
    assert roles.split() == ["dashtam_app", "dashtam_user", "postgres"]
    assert "user monitor" not in run("redis", "sh", "/tmp/redis-admin", "ACL", "LIST")
    run("app", "curl", "-fsS", "--max-time", "2", "http://app:9100/", code=7)
