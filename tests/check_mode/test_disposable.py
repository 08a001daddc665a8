"""`--check --diff` where data do not last: a new container has an empty database, and the init drops all."""

import os
from collections.abc import Callable, Iterator

import pytest

from tests.check_mode import prediction
from tests.check_mode.checkout import INSTANCE, copied
from tests.check_mode.prediction import SECRET, UP, Environment, check, prove

CONTAINERS = ("postgres", "app", "callback", "fake-schwab", "redis")
SERVERS_WITH_CERTIFICATES = ("app", "callback", "fake-schwab")


@pytest.fixture(scope="module")
def disposable() -> Iterator[Environment]:
    with copied("test") as checkout:
        yield Environment("test", checkout)


def containers(change: str, services: tuple[str, ...] = CONTAINERS) -> dict[str, str]:
    return {f"container {service}": change for service in services}


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (
            ("-e", "images_source=build", "-e", "images_prefix=nowhere", "-e", "images_shared=false"),
            ["would build postgres, redis, app"],
        ),
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
    disposable: Environment, arguments: tuple[str, ...], lines: list[str]
) -> None:
    run, _ = check(disposable, *UP["ci"], *arguments)
    images = sorted(line for line in run.text.splitlines() if line.startswith("Images: "))
    assert len(images) == len(lines), run.text
    assert all(line in image for line, image in zip(lines, images, strict=True)), images


# Of each server but the app.
PAIRS = (
    "certs/callback-cert.pem",
    "certs/callback-key.pem",
    "certs/fake-schwab-cert.pem",
    "certs/fake-schwab-key.pem",
)

# Each starts where the one before has ended.
CASES: list[tuple[Callable[[Environment], None], dict[str, str]]] = [
    (
        prediction.gone,
        {
            **containers("created"),
            "network": "created",
            **dict.fromkeys(
                (
                    *("env file", "env/local.test.yml", f"env/.secrets.test.{INSTANCE}.yml", "postgres"),
                    *("certs/ca.pem", "certs/cert.pem", "certs/key.pem", "certs/private/ca-key.pem"),
                    *PAIRS,
                ),
                "changed",
            ),
        },
    ),
    (prediction.all_up, {}),
    (
        prediction.half_up,
        {
            "container postgres": "created",
            "container callback": "created",
            "container redis": "started",
            "container app": "restarted",
            "postgres": "changed",
        },
    ),
    (prediction.stopped, {**containers("started"), "postgres": "changed"}),
    (
        prediction.env_line,
        {**containers("recreated", SERVERS_WITH_CERTIFICATES), "env file": "changed"},
    ),
    (
        prediction.port_and_certificate,
        {
            **containers("recreated", (*SERVERS_WITH_CERTIFICATES, "redis")),
            **dict.fromkeys(("certs/cert.pem", "certs/key.pem", *PAIRS), "changed"),
        },
    ),
    (
        prediction.secret,
        {"container app": "recreated", "env file": "changed", "postgres": "changed"},
    ),
    (
        prediction.by_hand,
        {
            "container app": "recreated",
            "container callback": "recreated",
            "postgres": "changed",
            "redis": "changed",
            "env file": "changed",
            "certs/key.pem": "changed",
            "src": "changed" if os.geteuid() == 0 else "",
        },
    ),
    (
        prediction.read_at_start,
        {"container postgres": "restarted", "container app": "restarted", "postgres": "changed"},
    ),
    (
        prediction.network_removed,
        {**containers("recreated"), "network": "created", "postgres": "changed"},
    ),
    (
        prediction.network_otherwise,
        {**containers("recreated"), "network": "recreated", "postgres": "changed"},
    ),
]


@pytest.mark.parametrize(("state", "expected"), CASES, ids=[case[0].__name__ for case in CASES])
def test_what_is_predicted_is_what_changes(
    disposable: Environment, state: Callable[[Environment], None], expected: dict[str, str]
) -> None:
    run = prove(disposable, state, expected)
    assert SECRET not in run.output
    assert "cannot be asked" not in run.text


def filled(disposable: Environment) -> None:
    """Something to lose."""
    disposable.sql("CREATE TABLE keepsake AS SELECT 1 AS kept")
    disposable.said("redis", ["sh", "/tmp/redis-admin", "-e", "-n", "1", "SET", "kept", "yes"])


def edited(disposable: Environment) -> None:
    """Code that the running servers have not read."""
    filled(disposable)
    (disposable.checkout.folder / "src/core/security/tls.py").touch()


@pytest.mark.parametrize(
    ("state", "restarted"), [(filled, ()), (edited, SERVERS_WITH_CERTIFICATES)], ids=["filled", "edited"]
)
def test_the_init_drops_and_empties_nothing_in_a_check(
    disposable: Environment, state: Callable[[Environment], None], restarted: tuple[str, ...]
) -> None:
    run = prove(
        disposable,
        state,
        {**containers("restarted", restarted), "postgres": "changed", "redis": "changed"},
        checked=("test", "--limit", "test"),
        played=("test", "--limit", "test", "-e", '{"test_steps": ["init"]}'),
    )
    assert "No test was run." in run.text


def test_taking_it_down_predicts_what_it_removes(disposable: Environment) -> None:
    expected = {**containers("removed"), "network": "removed"}
    prove(disposable, prediction.all_up, expected, checked=("down", "--limit", "test"))
