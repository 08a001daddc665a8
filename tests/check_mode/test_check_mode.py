"""`--check --diff` says what then changes, and itself changes nothing on the engine, no file and no row."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.check_mode.checkout import INSTANCE, Checkout, Look, Run, changes, differences

# What brings an environment up, and nothing else.
UP = {
    "dev": ("dev",),
    "test": ("test", "-e", '{"test_steps": []}', "--limit", "test"),
    "ci": ("test", "-i", "inventories/ci", "-e", '{"test_steps": []}'),
}
STATES = {"missing": "created", "changed": "recreated", "drifted": "recreated", "stopped": "started"}


@dataclass
class Environment:
    """One environment of the copy."""

    name: str
    checkout: Checkout
    # What the database was when it last could be asked.
    database: str = ""
    up: bool = False

    def container(self, service: str) -> Any:
        return self.checkout.container(f"{INSTANCE}-{self.name}-{service}")

    def containers(self) -> list[Any]:
        labels = [f"dashtam.instance={INSTANCE}", f"dashtam.environment={self.name}"]
        return self.checkout.engine.containers.list(all=True, filters={"label": labels})

    @property
    def network(self) -> Any:
        return self.checkout.engine.networks.get(f"{INSTANCE}-{self.name}-network")

    def local(self, **values: str) -> None:
        self.checkout.local(self.name, **values)

    def file(self, name: str) -> Path:
        return self.checkout.folder / name

    def play(self, *arguments: str) -> Run:
        return self.checkout.play(*UP[self.name], *arguments)


@pytest.fixture(scope="module")
def environments(checkout: Checkout) -> dict[str, Environment]:
    return {name: Environment(name, checkout) for name in UP}


def gone(environment: Environment) -> None:
    """Nothing there: no secrets and no env file either, and before the first of all no certificates."""
    assert not environment.checkout.look(environment.name).containers


def all_up(_: Environment) -> None:
    """Nothing to do."""


def half_up(environment: Environment) -> None:
    for service in ("postgres", "callback"):
        environment.container(service).remove(force=True)


def stopped(environment: Environment) -> None:
    for container in environment.containers():
        container.stop(timeout=10)


UNASKED = "cannot be asked"

# Environment, how it came to be as it is, and what the check owes to whoever reads it.
CASES: list[tuple[str, Callable[[Environment], None], str]] = [
    ("dev", gone, ""),
    ("dev", all_up, ""),
    ("dev", half_up, UNASKED),
    ("dev", stopped, UNASKED),
]


def predicted(run: Run, environment: str) -> dict[str, str]:
    """Return what a check says would change, in the terms of `changes`."""
    found: dict[str, str] = {}
    for name, result in run.changed:
        item = result.get("item")
        match name:
            case "keys : Read the person's own values":
                found[f"env/local.{environment}.yml"] = "changed"
            case "keys : Read the secrets, generate what is missing":
                found[f"env/.secrets.{environment}.{INSTANCE}.yml"] = "changed"
            case "env_file : Write the env file if it differs":
                found[f"env/.env.{environment}.{INSTANCE}"] = "changed"
            case "certificates : Look at the certificates":
                found |= dict.fromkeys(certificates(result), "changed")
            case "network : Make the network":
                found[f"{INSTANCE}-{environment}-network"] = "changed"
            case "container : Make the volumes":
                found[item["name"]] = "changed"
            case "container : Say what would be applied":
                found[item["name"]] = STATES[item["state"]]
            case "container : Say what would be restarted":
                found.setdefault(item, "restarted")
            case "postgres : Say what would be set up":
                found["database"] = "changed"
            case "Say what would be dropped and emptied":
                found |= {"database": "changed", "redis": "changed"}
            case "container : Remove what carries the labels":
                found |= dict.fromkeys(result["containers"], "removed")
            case "Make the folder for reports":
                pass
            case _:
                pytest.fail(f"a change that nobody expects: {name}: {result}")
    return found


def certificates(result: dict[str, Any]) -> list[str]:
    """Return the files that the certificates' look says it would change."""
    if result["ca"]:
        return ["certs/ca.pem", "certs/private/ca-key.pem", "certs/cert.pem", "certs/key.pem"]
    if result["server"]:
        return ["certs/cert.pem", "certs/key.pem"]
    return ["certs/key.pem"]


def check(environment: Environment, *arguments: str) -> tuple[Run, Look]:
    """Run --check --diff; nothing may be another afterwards."""
    before = environment.checkout.look(environment.name)
    run = environment.checkout.play(*arguments, "--check", "--diff")
    assert differences(vars(before), vars(environment.checkout.look(environment.name))) == []
    return run, before


def said(run: Run) -> list[str]:
    """Return what is printed for people: no titles, no recap, no predictions."""
    lines = [line for line in run.text.splitlines() if line.strip()]
    return [
        line for line in lines if not re.match("PLAY |TASK |changed: |included: |dashtam-[a-z]+ +:", line)
    ]


# First, while there is nothing: what is to be untouched must not even come to be.
def test_an_engine_that_does_not_answer_is_said_in_one_line(environments: dict[str, Environment]) -> None:
    before = environments["dev"].checkout.look("dev")
    run = environments["dev"].checkout.play(
        *UP["dev"],
        *("--check", "--diff"),
        code=2,
        DOCKER_HOST="unix:///nowhere/docker.sock",
        ANSIBLE_STDOUT_CALLBACK="concise",
    )
    problem = (
        "No Docker engine can be used at DOCKER_HOST=unix:///nowhere/docker.sock: No such file or directory."
    )
    assert said(run) == [
        f"dashtam-dev: {problem} Start it, or unset DOCKER_HOST to use this machine's own engine."
    ]
    assert differences(vars(before), vars(environments["dev"].checkout.look("dev"))) == []


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (("-e", "images_source=build", "-e", "images_prefix=nowhere"), ["would build postgres, redis, app"]),
        (
            ("-e", "images_source=pull", "-e", "images_registry=localhost:1/"),
            [
                "would build app",
                *(f"would pull localhost:1/{name}" for name in ("postgres", "python", "redis")),
            ],
        ),
    ],
    ids=["build", "pull"],
)
def test_images_that_are_missing_are_said_a_line_each(
    environments: dict[str, Environment], arguments: tuple[str, ...], lines: list[str]
) -> None:
    run, _ = check(environments["ci"], *UP["ci"], *arguments)
    images = sorted(line for line in run.text.splitlines() if line.startswith("Images: "))
    assert len(images) == len(lines), run.text
    assert all(line in image for line, image in zip(lines, images, strict=True)), images


@pytest.mark.parametrize(
    ("name", "state", "line"), CASES, ids=[f"{name}-{state.__name__}" for name, state, _ in CASES]
)
def test_what_is_predicted_is_what_changes(
    environments: dict[str, Environment], name: str, state: Callable[[Environment], None], line: str
) -> None:
    environment = environments[name]
    if not environment.up and state is not gone:
        environment.play()
        environment.database = environment.checkout.look(name).database
    environment.up = False
    state(environment)
    run, before = check(environment, *UP[name])
    assert line in run.text
    environment.play()
    after = environment.checkout.look(name)
    assert predicted(run, name) == changes(before, after, environment.database)
    environment.up, environment.database = True, after.database
