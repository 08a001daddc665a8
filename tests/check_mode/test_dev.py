"""`--check --diff` of dev, whose data last: it says what then changes, and itself changes nothing."""

import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.check_mode import prediction
from tests.check_mode.checkout import INSTANCE, Run, copied, differences
from tests.check_mode.prediction import SECRET, UP, Environment, check, predicted, prove

CONTAINERS = ("postgres", "app", "callback", "redis")
UNASKED = "cannot be asked"


@pytest.fixture(scope="module")
def dev() -> Iterator[Environment]:
    with copied("dev") as checkout:
        yield Environment("dev", checkout)


def containers(change: str) -> dict[str, str]:
    return {f"container {service}": change for service in CONTAINERS}


def said(run: Run) -> list[str]:
    """Return what is printed for people: no recap, no predictions."""
    lines = [line for line in run.text.splitlines() if line.strip()]
    other = rf"changed: |{INSTANCE}-[a-z]+: ok=|\d+\.\d s"
    return [line for line in lines if not re.match(other, line)]


# First, while there is nothing: what is to be untouched must not even come to be.
def test_an_engine_that_does_not_answer_is_said_in_one_line(dev: Environment) -> None:
    before = dev.look()
    run = dev.checkout.play(
        *UP["dev"],
        *("--check", "--diff"),
        code=2,
        DOCKER_HOST="unix:///nowhere/docker.sock",
        ANSIBLE_STDOUT_CALLBACK="dashtam.stack.concise",
    )
    problem = (
        "No Docker engine can be used at DOCKER_HOST=unix:///nowhere/docker.sock: No such file or directory."
    )
    assert said(run) == [
        f"{INSTANCE}-dev: {problem} Start it, or unset DOCKER_HOST to use this machine's own engine."
    ]
    assert differences(vars(before), vars(dev.look())) == []


@contextmanager
def forwarded(path: str) -> Iterator[str]:
    """Offer the engine's socket as an address, of which nobody can tell whose machine answers there."""
    listener = socket.create_server(("127.0.0.1", 0))

    def copy(source: socket.socket, target: socket.socket) -> None:
        with source, target:
            while piece := source.recv(65536):
                target.sendall(piece)
            target.shutdown(socket.SHUT_WR)

    def serve() -> None:
        while True:
            try:
                one, _ = listener.accept()
            except OSError:
                return
            other = socket.socket(socket.AF_UNIX)
            other.connect(path)
            for pair in ((one.dup(), other.dup()), (other, one)):
                threading.Thread(target=copy, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@pytest.mark.parametrize("arguments", [("--check", "--diff"), ()], ids=["check", "run"])
def test_an_engine_at_an_address_is_asked_for_no_container_in_a_check(
    dev: Environment, arguments: tuple[str, ...]
) -> None:
    """Whether it sees the checkout takes a container, an image and a folder for a moment."""
    engine = dev.checkout.engine
    before, since = dev.look(), f"{time.time():.9f}"
    with forwarded("/var/run/docker.sock") as address:
        run = dev.checkout.play("engine", "--limit", "dev", *arguments, DOCKER_HOST=address)
        line = f"The Docker engine at {address}: whether it sees {dev.checkout.folder} was not tried"
    events = list(engine.events(since=since, until=f"{time.time():.9f}", decode=True))
    made = [event for event in events if "engine-sees" in str(event["Actor"])]
    assert differences(vars(before), vars(dev.look())) == []
    assert (line in run.text, made == []) == (bool(arguments), bool(arguments))


# Of each server but the app.
PAIRS = ("certs/callback-cert.pem", "certs/callback-key.pem")

# Each starts where the one before has ended.
CASES: list[tuple[Callable[[Environment], None], dict[str, str], str]] = [
    (
        prediction.gone,
        {
            **containers("created"),
            **dict.fromkeys(("network", "volume postgres", "volume redis"), "created"),
            **dict.fromkeys(
                (
                    *("env file", "env/local.dev.yml", "env/.secrets.dev.check-mode.yml", "postgres"),
                    *("certs/ca.pem", "certs/cert.pem", "certs/key.pem", "certs/private/ca-key.pem"),
                    *PAIRS,
                ),
                "changed",
            ),
        },
        "",
    ),
    (prediction.all_up, {}, ""),
    (
        prediction.half_up,
        {
            "container postgres": "created",
            "container callback": "created",
            "container redis": "started",
        },
        UNASKED,
    ),
    (prediction.stopped, containers("started"), UNASKED),
    (
        prediction.env_line,
        {"container app": "recreated", "container callback": "recreated", "env file": "changed"},
        "",
    ),
    (
        prediction.port_and_certificate,
        {
            **containers("recreated"),
            "container postgres": "",
            **dict.fromkeys(("certs/cert.pem", "certs/key.pem", *PAIRS), "changed"),
        },
        "",
    ),
    (
        prediction.secret,
        {"container app": "recreated", "env file": "changed", "postgres": "changed"},
        "",
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
        "",
    ),
    (
        prediction.read_at_start,
        {"container postgres": "restarted", "container app": "restarted", "postgres": "changed"},
        "",
    ),
    (prediction.network_removed, {**containers("recreated"), "network": "created"}, ""),
    (prediction.network_otherwise, {**containers("recreated"), "network": "recreated"}, ""),
]


@pytest.mark.parametrize(("state", "expected", "line"), CASES, ids=[case[0].__name__ for case in CASES])
def test_what_is_predicted_is_what_changes(
    dev: Environment, state: Callable[[Environment], None], expected: dict[str, str], line: str
) -> None:
    run = prove(dev, state, expected)
    assert line in run.text
    assert SECRET not in run.output


@pytest.mark.parametrize(
    "arguments",
    [
        ("backup",),
        ("restore", "--limit", "dev", "-e", "backup_source=backups/nowhere.dump"),
        ("down", "--limit", "dev"),
        ("clean", "--limit", "dev", "-e", "clean_confirm=dev"),
        ("keys", "--limit", "dev"),
        ("certificates", "--limit", "dev"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_no_other_playbook_changes_anything(dev: Environment, arguments: tuple[str, ...]) -> None:
    if not dev.up:
        dev.play()
        dev.up = True
    check(dev, *arguments)


def test_a_clean_predicts_what_it_removes(dev: Environment) -> None:
    clean = ("clean", "--limit", "dev", "-e", "clean_confirm=dev clean_backup=false")
    expected = {
        **containers("removed"),
        **dict.fromkeys(("network", "volume postgres", "volume redis"), "removed"),
    }
    prove(dev, prediction.all_up, expected, checked=clean)
    assert predicted(check(dev, *clean)[0], "dev") == {}
