"""The verbs of every day, as a person calls them in a fresh checkout: `make` and a real engine.

What they are about is a network, a volume and a container that never starts, of two instances.
"""

from __future__ import annotations

import io
import json
import os
import re
import secrets
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest

from tests import collection
from tests.by_path import load
from tests.provisioning import clean_plan, playbook

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="no make on this machine")
TOKEN = secrets.token_hex(4)
FIRST, SECOND = f"first-{TOKEN}", f"second-{TOKEN}"
NOTHING = {
    "dev": "dashtam-dev  nothing runs; start it: make dev",
    "test": "dashtam-test  nothing runs; start it: make test-up",
    "ci": "dashtam-ci  nothing runs; start it: make ci-test",
}


@dataclass(frozen=True)
class Checkout:
    folder: Path

    def make(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run `make`; what it needs once is there already."""
        run = subprocess.run(
            ["make", "--old-file=venv", "--old-file=engine", *arguments],
            cwd=self.folder,
            env=collection.outside() | {"PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == code, run.stdout + run.stderr
        return run

    def lines(self, *arguments: str) -> list[str]:
        return self.make(*arguments).stdout.splitlines()


def an_image(client: docker.APIClient) -> str:
    """Return an image of nothing."""
    empty = io.BytesIO()
    with tarfile.open(fileobj=empty, mode="w"):
        pass
    name = f"dashtam-verbs-{TOKEN}"
    client.import_image_from_data(empty.getvalue(), repository=name, tag="latest")
    return f"{name}:latest"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    folder = clean_plan.clone(tmp_path_factory.mktemp("verbs"))
    clean_plan.add_make(folder)
    (folder / ".venv").symlink_to(Path(playbook.COMMAND).parents[1])

    def labels(instance: str, environment: str) -> dict[str, str]:
        return {
            "dashtam.instance": instance,
            "dashtam.environment": environment,
            "dashtam.checkout": str(folder),
        }

    client = docker.APIClient()
    image = an_image(client)
    host = client.create_host_config(port_bindings={8000: ("127.0.0.1", 8990)})
    container = client.create_container(
        image,
        ["/none"],
        name=f"{SECOND}-dev-app",
        ports=[8000],
        host_config=host,
        labels=labels(SECOND, "dev"),
    )
    client.create_volume(f"{FIRST}_data", labels=labels(FIRST, "dev"))
    client.create_network(f"{SECOND}-test-network", labels=labels(SECOND, "test"))
    yield Checkout(folder)
    client.remove_container(container, v=True)
    client.remove_volume(f"{FIRST}_data")
    client.remove_network(f"{SECOND}-test-network")
    client.remove_image(image)
    client.close()


def test_what_a_killed_run_left_is_told_from_somebody_elses(checkout: Checkout) -> None:
    engine_containers = load("plugins/module_utils/engine_containers.py")
    client = docker.APIClient()
    ours = {"dashtam.instance": SECOND, "dashtam.environment": "dev"}
    name = f"{SECOND}-dev-app"
    theirs = client.inspect_container(name)["Id"]
    # The same labels, but of another environment.
    engine_containers._discard(client, name, ours | {"dashtam.environment": "test"})
    assert client.inspect_container(name)["Id"] == theirs
    left = client.create_container(client.inspect_container(name)["Image"], ["/none"], labels=ours)
    engine_containers._discard(client, left["Id"], ours)
    with pytest.raises(docker.errors.NotFound):
        client.inspect_container(left["Id"])
    client.close()


FIRST_DEV = [f"{FIRST}-dev", f"  {FIRST}_data          volume"]
SECOND_DEV = [
    f"{SECOND}-dev",
    "  CONTAINER STATE ADDRESS UP READY AFTER IMAGE",
    f"  {SECOND}-dev-app created 127.0.0.1:8990 dashtam-verbs-{TOKEN}:latest",
]
SECOND_TEST = [f"{SECOND}-test", f"  {SECOND}-test-network network"]


def tree(folder: Path) -> dict[str, bytes | None]:
    """Return what is in a folder, but for .venv and Python's own cache."""
    found = [path for path in folder.rglob("*") if not {".venv", "__pycache__"} & set(path.parts)]
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in found}


def parsed(text: str) -> Any:
    """Return what the whole text is as JSON."""
    return json.loads(text)


def squeezed(lines: list[str]) -> list[str]:
    return [" ".join(line.split()) for line in lines]


def test_status_knows_all_instances_in_the_order_of_the_inventories(checkout: Checkout) -> None:
    expected = [NOTHING["dev"], *FIRST_DEV, *SECOND_DEV, NOTHING["test"], *SECOND_TEST, NOTHING["ci"]]
    assert squeezed(checkout.lines("status-all")) == squeezed(expected)
    assert squeezed(checkout.lines("dev-status")) == squeezed([NOTHING["dev"], *FIRST_DEV, *SECOND_DEV])


def test_status_of_one_instance_is_about_that_one(checkout: Checkout) -> None:
    assert squeezed(checkout.lines("dev-status", f"INSTANCE={SECOND}")) == squeezed(SECOND_DEV)
    hint = "third-dev  nothing runs; start it: make dev INSTANCE=third PORT_OFFSET=20"
    assert checkout.lines("dev-status", "INSTANCE=third", "PORT_OFFSET=20") == [hint]


def test_a_hint_names_the_instance(checkout: Checkout) -> None:
    said = checkout.make("dev-logs", "INSTANCE=third", "PORT_OFFSET=20", code=2).stderr
    hint = "Start it: make dev-up INSTANCE=third PORT_OFFSET=20"
    assert said.startswith(f"The dev environment's containers are not running. {hint}\n")
    hint = "Start it: make dev-up INSTANCE=third"
    said = checkout.make("open", "INSTANCE=third", code=2).stderr
    assert said.startswith(f"The dev environment's app is not running. {hint}\n")
    said = checkout.make("trust", "INSTANCE=third", "PORT_OFFSET=20", code=2).stderr
    missing = f"There is no {checkout.folder}/certs/ca.pem yet; make it with: make certs"
    assert said.startswith(f"\nthird-dev: {missing}\n")


def test_ls_shows_every_checkout(checkout: Checkout) -> None:
    lines = squeezed(checkout.lines("ls"))
    mine = lines.index(str(checkout.folder))
    assert lines[mine + 1 : mine + 4] == [
        f"{FIRST} dev down",
        f"{SECOND} dev created 8990",
        f"{SECOND} test down",
    ]


def certificates(checkout: Checkout) -> None:
    (checkout.folder / "certs").mkdir(exist_ok=True)
    checkout.make("certs", "ANSIBLE_ARGS=--limit=dev")


def test_trust_shows_the_instances_own_port(checkout: Checkout) -> None:
    certificates(checkout)
    said = checkout.make("trust", "PORT_OFFSET=20").stdout
    assert "https://localhost:8020/health" in said
    (names,) = re.findall(r"^  signs +only (.*)$", said, re.MULTILINE)
    assert len(set(names.split(", "))) == len(names.split(", "))
    assert "https://localhost:8021/health" in checkout.make("trust", "PORT_OFFSET=20", "LIMIT=test").stdout


def named(instances: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(each["instance"], each["environment"], each["state"]) for each in instances]


def test_all_of_the_output_is_json(checkout: Checkout) -> None:
    mine = [(FIRST, "dev", "down"), (SECOND, "dev", "created"), (SECOND, "test", "down")]
    shown = parsed(checkout.make("status-all", "FORMAT=json").stdout)
    declared = [("dashtam", environment, "down") for environment in ("dev", "test", "ci")]
    assert named(shown) == [declared[0], *mine[:2], declared[1], mine[2], declared[2]]
    assert [each.get("start") for each in shown if each["instance"] == "dashtam"] == [
        "make dev",
        "make test-up",
        "make ci-test",
    ]
    app = {
        "name": f"{SECOND}-dev-app",
        "kind": "container",
        "state": "created",
        "health": None,
        "exit_code": None,
        "ports": ["127.0.0.1:8990"],
        "service": None,
        "image": f"dashtam-verbs-{TOKEN}:latest",
        "reason": None,
        "browser_url": None,
        "tool_url": None,
        "ready_seconds": None,
    }
    (found,) = shown[2]["objects"]
    assert found.pop("age_seconds") < 3600
    assert found == app
    assert named(parsed(checkout.make("status", "FORMAT=json", f"INSTANCE={SECOND}").stdout)) == [mine[1]]
    assert named(parsed(checkout.make("test-status", "FORMAT=json").stdout)) == [declared[1], mine[2]]
    listed = parsed(checkout.make("ls", "FORMAT=json").stdout)
    assert named([each for each in listed if each["checkout"] == str(checkout.folder)]) == mine


@pytest.mark.parametrize("limit", [[], ["LIMIT="], ["LIMIT=dve"], ["LIMIT=dev test"], ["LIMIT='; false"]])
def test_clean_and_restore_say_in_one_line_what_to_type(checkout: Checkout, limit: list[str]) -> None:
    again = ["INSTANCE=third", "PORT_OFFSET=20"]
    run = checkout.make("clean", *again, *limit, code=2)
    typed = "make clean LIMIT=dev INSTANCE=third PORT_OFFSET=20, or LIMIT=test, or LIMIT=ci"
    assert run.stderr.splitlines()[0] == f"Say which environment: {typed}. Nothing was touched."
    run = checkout.make("restore", "FILE=backups/a b.dump", *limit, code=2)
    typed = "make restore LIMIT=dev FILE=backups/a b.dump"
    assert run.stderr.splitlines()[0] == f"Say which environment: {typed}. Nothing was touched."
    assert run.stdout == ""


def test_clean_without_a_terminal_says_what_to_type(checkout: Checkout) -> None:
    run = checkout.make("clean", "LIMIT=dev", f"INSTANCE={FIRST}", code=2)
    assert f'make clean LIMIT=dev INSTANCE={FIRST} ANSIBLE_ARGS="-e clean_confirm=dev"' in run.stdout


def test_a_playbook_without_a_limit_names_the_environments_in_order(checkout: Checkout) -> None:
    run = playbook.start(*clean_plan.INVENTORIES, "playbooks/clean.yml", folder=checkout.folder)
    assert (
        "Say which one environment: --limit dev, or --limit test, or --limit ci. Nothing"
        in playbook.finish(run, 2)
    )


def test_restore_without_any_backup_says_so_and_warns_of_nothing(checkout: Checkout) -> None:
    run = checkout.make("restore", "LIMIT=dev", code=2)
    assert "There is none in backups/.\n" in run.stderr
    assert "WARNING" not in run.stdout + run.stderr


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("tset", "did you mean: make test"),
        ("dev-stauts", "did you mean: make dev-status"),
        ("logs-dev-app", "did you mean: make dev-logs-app"),
        ("xyzzy", "make alone lists all"),
        ("it's", "make alone lists all"),
    ],
)
def test_a_misspelt_target_has_a_proposal(checkout: Checkout, typed: str, hint: str) -> None:
    run = checkout.make(typed, code=2)
    assert run.stderr.splitlines()[0] == f"There is no target {typed}; {hint}"


@pytest.mark.parametrize(("verb", "name"), [("test", "dashtam-test"), ("ci-test", "dashtam-ci")])
def test_tests_end_with_the_environment_down_and_their_code(checkout: Checkout, verb: str, name: str) -> None:
    run = checkout.make(verb, "DOWN=1", "ARGS=tests/nowhere", code=2)
    assert f"\n{name} is already down." in run.stdout
    assert run.stderr.rstrip().endswith("Error 2"), run.stderr
    assert " is down" not in checkout.make(verb, "ARGS=tests/nowhere", code=2).stdout


def test_looking_writes_nothing(checkout: Checkout) -> None:
    before = tree(checkout.folder)
    for verb in ("status-all", "status", "ls", "plan", "trust"):
        run = checkout.make(verb, code=2 if verb == "trust" and "certs/ca.pem" not in before else 0)
        assert not re.search("changed[:=]", run.stdout)
    assert tree(checkout.folder) == before


def test_a_failure_is_no_part_of_the_answer(checkout: Checkout) -> None:
    run = checkout.make("status-all", "FORMAT=xml", code=2)
    assert run.stdout == ""
    assert "status_format" in run.stderr


def test_a_wait_for_what_restarts_ends_at_once_with_its_last_lines(
    tmp_path: Path,
) -> None:
    client = docker.APIClient()
    # Any image with a shell; what is built here is called dashtam/...
    tags = [tag for image in client.images() for tag in image["RepoTags"] or []]
    image = next(tag for tag in sorted(tags) if tag.startswith(("dashtam/postgres", "postgres:")))
    name = f"verbs-{TOKEN}-restarts"
    host = client.create_host_config(restart_policy={"Name": "always"})
    loop = ["sh", "-c", "echo LOG_LEVEL is wrong; sleep 1; exit 7"]
    client.create_container(image, [], entrypoint=loop, name=name, host_config=host)
    wait = {"containers": [{"name": name, "ready": ["false"]}], "timeout": 60}
    tasks = [{"name": "Wait", "dashtam.stack.container_wait": wait}]
    path = tmp_path / "play.yml"
    path.write_text(json.dumps([{"name": "Play", "hosts": "all", "gather_facts": False, "tasks": tasks}]))
    try:
        client.start(name)
        begun = time.monotonic()
        output = playbook.finish(playbook.start(*playbook.HERE, str(path)), 2)
        assert time.monotonic() - begun < 30
    finally:
        client.remove_container(name, force=True, v=True)
        client.close()
    said = re.search(f"localhost: {name} keeps restarting, exit code 7\nIts last log lines:\n", output)
    assert said, output
    assert f"LOG_LEVEL is wrong\nNext: docker logs {name}\n" in output


# Debian's package libnss3-tools.
@pytest.mark.skipif(not shutil.which("certutil"), reason="no certutil on this machine")
@pytest.mark.parametrize("present", [False, True])
def test_the_commands_for_chrome_work_with_and_without_a_database(
    checkout: Checkout, tmp_path: Path, present: bool
) -> None:
    certificates(checkout)
    commands = re.search(r"libnss3-tools\)\n(.*?)\n\n", checkout.make("trust").stdout, re.DOTALL)
    assert commands
    create, trust, distrust = (line.strip() for line in commands[1].splitlines())
    database = f"sql:{tmp_path}/.pki/nssdb"

    def shell(script: str) -> str:
        run = subprocess.run(
            ["sh", "-ec", script],
            env=os.environ | {"HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        return run.stdout

    if present:
        shell(f'mkdir -p "$HOME/.pki/nssdb"; certutil -d {database} -N --empty-password')
    shell(f"{create}\n{trust}")
    assert re.search(r"Local development CA .* C,,", shell(f"certutil -d {database} -L"))
    shell(f"{create}\n{distrust}")
    assert " C,," not in shell(f"certutil -d {database} -L")
