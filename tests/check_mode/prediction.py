"""What `--check --diff` predicts for an environment, and what a real run then makes of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from docker.models.containers import Container
from docker.models.networks import Network

from tests import inside
from tests.check_mode.checkout import DATABASES, INSTANCE, Checkout, Look, Run, changes, differences

# What brings an environment up, and nothing else.
UP = {
    "dev": ("dev",),
    "test": ("test", "-e", '{"test_steps": []}', "--limit", "test"),
    "ci": ("test", "-i", "inventories/ci", "-e", '{"test_steps": []}'),
}
STATES = {"missing": "created", "changed": "recreated", "drifted": "recreated", "stopped": "started"}


@dataclass
class Environment:
    """One environment of the copy, and what its database was when it last could be asked."""

    name: str
    checkout: Checkout
    database: dict[str, bool] = field(default_factory=dict)
    up: bool = False

    @property
    def prefix(self) -> str:
        return f"{INSTANCE}-{self.name}"

    def container(self, service: str) -> Container:
        return self.checkout.container(f"{self.prefix}-{service}")

    def containers(self) -> list[Container]:
        labels = [f"dashtam.instance={INSTANCE}", f"dashtam.environment={self.name}"]
        found: list[Container] = self.checkout.engine.containers.list(all=True, filters={"label": labels})
        return found

    @property
    def network(self) -> Network:
        return self.checkout.engine.networks.get(f"{self.prefix}-network")

    def file(self, name: str) -> Path:
        return self.checkout.folder / name

    def local(self, **values: str) -> None:
        """Add values of a person's own."""
        self.checkout.local(self.name, **values)

    def sql(self, *statements: str) -> None:
        """Let the administrator change something by hand."""
        command = ["psql", "-qX", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", DATABASES[self.name][0]]
        command += [word for statement in statements for word in ("-c", statement)]
        self.said("postgres", command, user="postgres")

    def said(self, service: str, command: list[str], user: str = "") -> str:
        return inside.said(self.container(service), command, user)

    def look(self) -> Look:
        return self.checkout.look(self.name)

    def play(self, *arguments: str) -> Run:
        return self.checkout.play(*(arguments or UP[self.name]))

    def names(self, expected: dict[str, str]) -> dict[str, str]:
        """Return the same, leaving out what is `""`, with whole names for those of some words.

        The words are `container app`, `volume redis`, `network` and `env file`.
        """
        return {self.full(name): change for name, change in expected.items() if change}

    def full(self, name: str) -> str:
        match name.split(" "):
            case ["container", service]:
                return f"{self.prefix}-{service}"
            case ["volume", service]:
                return f"{INSTANCE}_{service}_{self.name}_data"
            case ["network"]:
                return f"{self.prefix}-network"
            case ["env", "file"]:
                return f"env/.env.{self.name}.{INSTANCE}"
        return name


def predicted(run: Run, environment: str) -> dict[str, str]:
    """Return what a check says would change, in the terms of `changes`."""
    found: dict[str, str] = {}
    for name, result in run.changed:
        item: Any = result.get("item")
        match name.removeprefix("dashtam.stack."):
            case "keys : Read the local file, create it where it is missing":
                found[f"env/local.{environment}.yml"] = "changed"
            case "keys : Read the secrets, generate what is missing":
                found[f"env/.secrets.{environment}.{INSTANCE}.yml"] = "changed"
            case "env_file : Write the env file if it differs":
                found[f"env/.env.{environment}.{INSTANCE}"] = "changed"
            case "certificates : Make the certificates that are missing or no longer good":
                found |= dict.fromkeys(certificates(result), "changed")
            case "Let the app's user read a root checkout":
                found[Path(str(item)).name] = "changed"
            case "container : Make the networks":
                found |= dict.fromkeys(result["created"], "created")
                found |= dict.fromkeys(result["recreated"], "recreated")
            case "container : Say which volumes would be created":
                found[item["name"]] = "created"
            case "container : Say what would be applied":
                found[item["name"]] = STATES[item["state"]]
            case "container : Restart" | "Restart what runs outdated code":
                found = dict.fromkeys(result["restarted"], "restarted") | found
            case "postgres : Say what would be set up":
                found["postgres"] = "changed"
            case "redis : Say what would be set back":
                found["redis"] = "changed"
            case "Say what would be dropped and emptied":
                found |= {"postgres": "changed", "redis": "changed"}
            case "container : Remove what carries the labels":
                # Its volumes are what is there; that is told apart by what then changes.
                removed = result["containers"] + result["networks"] + result["volumes"]
                found |= dict.fromkeys(removed, "removed")
            case task if task.startswith("images : "):
                pytest.fail("images are missing, and their making is not compared: `make test-up` makes them")
            case _:
                pytest.fail(f"a change that nobody expects: {name}: {result}")
    return found


def certificates(result: dict[str, Any]) -> list[str]:
    """Return the files that the certificates' look says it would change."""
    authority = ["certs/ca.pem", "certs/private/ca-key.pem"] if result["ca"] else []
    pairs = [
        f"certs/{server}{'-' if server else ''}{kind}.pem"
        for server in result["servers"]
        for kind in ("cert", "key")
    ]
    return [*authority, *pairs] or ["certs/key.pem"]


def check(environment: Environment, *arguments: str, code: int = 0) -> tuple[Run, Look]:
    """Run --check --diff; nothing may be another afterwards."""
    before = environment.look()
    run = environment.checkout.play(*(arguments or UP[environment.name]), "--check", "--diff", code=code)
    touched = differences(vars(before), vars(environment.look()))
    assert touched == [], touched
    return run, before


def prove(
    environment: Environment,
    state: Callable[[Environment], None],
    expected: dict[str, str],
    checked: tuple[str, ...] = (),
    played: tuple[str, ...] = (),
) -> Run:
    """Bring an environment into a state, check, run: both have to be what is expected.

    :param expected: see `Environment.names`.
    :param checked: the playbook to check, with its arguments; the one that brings it up where none is given.
    :param played: the one to run, the same where none is given.
    :returns: the check.
    """
    if not environment.up and state is not gone:
        environment.play()
        environment.database = environment.look().database
    environment.up = False
    state(environment)
    run, before = check(environment, *checked)
    environment.play(*(played or checked))
    after = environment.look()
    names = environment.names(expected)
    told, done = predicted(run, environment.name), changes(before, after, environment.database)
    # Said here, as pytest explains only the assertions of test files.
    assert told == names, (told, names)
    assert done == names, (done, names)
    environment.up, environment.database = True, after.database
    return run


def gone(environment: Environment) -> None:
    """Nothing there: no secrets, no env file, no certificates."""
    assert not environment.containers()


def all_up(_: Environment) -> None:
    """Nothing to do."""


def half_up(environment: Environment) -> None:
    for service in ("postgres", "callback"):
        environment.container(service).remove(force=True)
    environment.container("redis").pause()


def stopped(environment: Environment) -> None:
    for container in environment.containers():
        container.stop(timeout=10)


def env_line(environment: Environment) -> None:
    environment.local(LOG_LEVEL="DEBUG")


def port_and_certificate(environment: Environment) -> None:
    environment.local(redis_host_port="7999" if environment.name == "dev" else "7998")
    for path in environment.file("certs").glob("*cert.pem"):
        path.unlink()


SECRET = "canary %@:/#$' x"


def secret(environment: Environment) -> None:
    environment.local(POSTGRES_PASSWORD=f'"{SECRET}"')


def by_hand(environment: Environment) -> None:
    """In each place a change that leaves the container to itself."""
    environment.container("callback").update(mem_limit="300m", memswap_limit="600m")
    environment.network.disconnect(environment.container("app"))
    environment.sql(
        "ALTER ROLE dashtam_app CREATEDB"
        if environment.name == "dev"
        else "ALTER ROLE dashtam_test_app CREATEDB",
        "ALTER SYSTEM SET work_mem = '2MB'",
    )
    environment.said("redis", ["sh", "/tmp/redis-admin", "-e", "CONFIG", "SET", "maxmemory", "10mb"])
    environment.file(environment.full("env file")).chmod(0o644)
    # A key that others could read would be replaced.
    environment.file("certs/key.pem").chmod(0o400)
    environment.file("src/main.py").chmod(0o600)


def read_at_start(environment: Environment) -> None:
    """What PostgreSQL reads only when it starts; a setting that came so is lost with a tmpfs."""
    if environment.name == "dev":
        environment.sql("ALTER SYSTEM SET max_connections = 50")
        environment.container("postgres").restart(timeout=30)
        answers = "until pg_isready -q -h 127.0.0.1; do sleep 0.1; done"
        environment.said("postgres", ["timeout", "60", "sh", "-c", answers])
    else:
        line = "echo 'host all all all trust' >>/tmp/postgresql-hba.conf"
        environment.said("postgres", ["sh", "-c", line])


def network_removed(environment: Environment) -> None:
    for container in environment.containers():
        environment.network.disconnect(container)
    environment.network.remove()


def network_otherwise(environment: Environment) -> None:
    """Made again by hand, without a route out."""
    labels = environment.network.attrs["Labels"]
    network_removed(environment)
    network = environment.checkout.engine.networks.create(
        f"{environment.prefix}-network", internal=True, labels=labels
    )
    for container in environment.containers():
        network.connect(container, aliases=[container.labels["dashtam.service"]])
