"""Prometheus on the stage in the lab: whom it watches, and what it said while the app did not run."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import urlencode

from three_engines_report import expect
from three_engines_stage import REPLICAS, STAGE, Stage

SERVICES = ("prometheus", "postgres-exporter", "redis-exporter")
# Once a second, so that what takes seconds is seen.
WATCHED = {"dashtam_services": ["monitoring"], "monitoring_interval": "1s", "monitoring_down_after": "1s"}
PATIENCE = 60
FIRED = 'max by (alertname) (max_over_time(ALERTS{alertstate="firing", alertname="AppDown"}[10m]))'


def ask(stage: Stage, query: str) -> list[dict[str, Any]]:
    """Ask Prometheus, in its container, as nobody else reaches it; nothing where it does not answer."""
    address = f"https://localhost:9090/api/v1/query?{urlencode({'query': query})}"
    said = stage.run("prometheus", ["curl", "-sS", "--cacert", "/app/certs/ca.pem", address])
    try:
        found: list[dict[str, Any]] = json.loads(said)["data"]["result"]
    except (ValueError, KeyError):
        return []
    return found


def series(stage: Stage, query: str) -> dict[str, list[str]]:
    """Return job to the values of its series."""
    found: dict[str, list[str]] = {}
    for one in ask(stage, query):
        found.setdefault(one["metric"].get("job", ""), []).append(one["value"][1])
    return found


def check_watched(stage: Stage) -> None:
    """Each task of the app, and both servers through their exporters, are asked and answer."""
    wanted = {"app": ["1"] * REPLICAS, "postgres": ["1", "1"], "redis": ["1", "1"]}
    end, found = time.monotonic() + PATIENCE, {}
    while time.monotonic() < end and found != wanted:
        found = series(stage, '{__name__=~"up|pg_up|redis_up"}')
        time.sleep(0.5)
    expect(
        found == wanted, f"Prometheus watches PostgreSQL, Redis and all {REPLICAS} tasks of the app", found
    )
    published = {
        name: stage.first.api.inspect_service(f"{STAGE}-{name}")["Endpoint"].get("Ports") for name in SERVICES
    }
    expect(not any(published.values()), "which is published nowhere", published)


def check_fired(stage: Stage) -> None:
    """While a restore had stopped the app, its alert fired."""
    fired = ask(stage, FIRED)
    expect(fired, "AppDown fired while the restore had stopped the app", fired)
    check_watched(stage)
