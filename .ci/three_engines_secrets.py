"""Secrets of the stage in the lab: new ones are used, old ones refused, and no value is shown anywhere."""

from __future__ import annotations

import base64
import json
import secrets
from collections import Counter
from pathlib import Path

import yaml
from three_engines_clients import Request, ask
from three_engines_report import expect
from three_engines_requests import count, only_200, requests, until_200
from three_engines_stage import MADE, ROOT, STAGE, Stage
from three_engines_watch import check_watched

# Of a secret, see roles/service/defaults/main.yml.
VERSIONS_KEPT = 3
# Requests a second while passwords change, and the part of them that may fail: those that need a further
# connection to the database.
RATE, LOST = 10, 0.01
ROWS = Path(__file__).with_name("three_engines_rows.py")


def values() -> dict[str, str]:
    """Return the secrets that the stage is deployed with."""
    found: dict[str, str] = yaml.safe_load(MADE[0].read_text())
    return found


def change() -> None:
    """Change all secrets whose change loses no request, as a person would in the file that has them."""
    new = values()
    for name in ("POSTGRES_PASSWORD", "APP_POSTGRES_PASSWORD", "SECRET_KEY", "RELAY_TOKEN"):
        new[name] = secrets.token_urlsafe(48)
    key = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    new["ENCRYPTION_KEY"] = f"{key},{new['ENCRYPTION_KEY']}"
    MADE[0].write_text("".join(f"{name}: {json.dumps(value)}\n" for name, value in new.items()))


def shown(stage: Stage, known: list[str]) -> list[str]:
    """Return where one of the values is shown: in services, tasks, or processes' environments."""
    key = (ROOT / "certs/key.pem").read_text().splitlines()[1]
    parts = {part for value in known for part in value.split(",")} | {key}
    api = stage.first.api
    told = {one["Spec"]["Name"]: json.dumps(api.inspect_service(one["ID"])) for one in api.services()}
    told["tasks"] = json.dumps(api.tasks())
    for node in stage.lab.nodes:
        for found in node.api.containers():
            environments = node.inside(found["Id"], ["sh", "-c", "cat /proc/[0-9]*/environ"])
            told[f"{found['Names']} on {node.name}"] = environments
    return [where for where, text in told.items() if any(part in text for part in parts)]


def versions(stage: Stage) -> Counter[str]:
    """Return how many versions the Swarm has of each secret."""
    names = [secret["Spec"]["Name"] for secret in stage.first.api.secrets()]
    return Counter(name.removeprefix(f"{STAGE}_").rpartition("_v")[0] for name in names)


def logins(stage: Stage, known: dict[str, str]) -> tuple[str, str]:
    """Return what PostgreSQL and Redis say to whoever has these passwords."""
    query = ["psql", "-h", "127.0.0.1", "-U", "dashtam_app", "-AtXc", "SELECT 1", "dashtam"]
    ping = ["redis-cli", "-s", "/tmp/redis.sock", "--user", "app", "PING"]  # noqa: S108 - inside the container
    return (
        stage.run("postgres", query, PGPASSWORD=known["APP_POSTGRES_PASSWORD"]),
        stage.run("redis", ping, REDISCLI_AUTH=known["REDIS_PASSWORD"]),
    )


def status_of(stage: Stage, token: str) -> int:
    """Return the status of a request by whoever has this access token."""
    headers = {"Authorization": f"Bearer {token}"}
    request = Request(stage.first.address, "/api/v1/auth/me", headers=headers)
    return ask(stage.lab, [request])[0].status


def rows(stage: Stage, verb: str) -> str:
    """Make rows that need the secrets, or read them; return an access token, or what went wrong."""
    return (stage.run("app", ["python", "-c", ROWS.read_text(), verb]).splitlines() or ["no app runs"])[-1]


def nearly_all(answers: list[str]) -> bool:
    """Whether no more than LOST of the answers were others than 200."""
    return count([line for line in answers if line.startswith("200 ")]) >= (1 - LOST) * count(answers) > 0


def check_secrets(stage: Stage, release: str) -> None:
    """New secrets: used, the old ones refused, and requests answered meanwhile."""
    token, old = rows(stage, "make"), values()
    expect(status_of(stage, token) == 200, "a user is logged in, and has a provider's token", token)
    change()
    with requests(stage.lab, stage.lab.nodes, rate=RATE) as answers:
        code, said, _ = stage.deploy(release)
    expect(code == 0, "the first version is deployed again, with new secrets for all but Redis", said)
    expect(nearly_all(answers), f"meanwhile requests are answered: {answers}", answers)
    with requests(stage.lab, stage.lab.nodes) as answers:
        code, said = stage.play("staging_rotate", "")
    expect(code == 0, f"all secrets are renewed, that of Redis too; meanwhile: {answers}", said)
    answers, took = until_200(stage.lab, stage.lab.nodes)
    expect(only_200(answers), f"all requests are answered with 200 again after {took:.0f} s", answers)

    check_watched(stage)
    new = values()
    unchanged = [name for name in old if old[name] == new[name]]
    expect(not unchanged and "," not in new["ENCRYPTION_KEY"], "each secret has one new value", unchanged)
    fresh, codes = rows(stage, "read"), []
    # A JSON Web Token, and not what went wrong.
    if fresh.startswith("eyJ"):
        codes = [status_of(stage, token), status_of(stage, fresh)]
    expect(codes == [401, 200], "who was logged in logs in again; the provider's token opens", (codes, fresh))
    told = logins(stage, old), logins(stage, new)
    refused = "password authentication failed" in told[0][0] and "WRONGPASS" in told[0][1]
    expect(refused and told[1] == ("1", "PONG"), "PostgreSQL and Redis refuse the old passwords", told)
    kept = versions(stage)
    expect(
        kept["ENCRYPTION_KEY"] == VERSIONS_KEPT == max(kept.values()),
        "of four versions of a secret, three are kept",
        kept,
    )
    found = shown(stage, [*old.values(), *new.values()])
    expect(not found, "none is in `service inspect`, in a task, or in an environment", found)
