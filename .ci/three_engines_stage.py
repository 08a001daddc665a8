"""The stage that .ci/three-engines looks at: deployed in the lab, asked, and sent requests."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import yaml
from docker.errors import APIError
from three_engines_clients import CA, PORT
from three_engines_lab import Lab, Node, run

ROOT = Path(__file__).resolve().parents[1]
INSTANCE = "three-engines"
STAGE = f"{INSTANCE}-staging"
MADE = (ROOT / f"env/.secrets.staging.{INSTANCE}.yml", ROOT / f"env/.env.staging.{INSTANCE}")
# Engines keep their data here: /tmp may be in memory.
FOLDER = Path("/var/tmp/three-engines")  # noqa: S108 - only root runs this
# Requests a second, over all nodes.
RATE = 10
# Seconds until all balancers know where the app is.
PATIENCE = 30
# Of the second version nothing differs but its name; the others have one fault each.
BROKEN_HEALTH = """sed -i 's|@app.get("/health"|@app.get("/unhealthy"|' /app/src/main.py"""
BROKEN_MIGRATION = """printf 'raise SystemExit("the migration ends here")' >/app/src/core/init_db.py"""
VERSIONS = {"v2": "true", "broken-health": BROKEN_HEALTH, "broken-migration": BROKEN_MIGRATION}


class Stage:
    """The stage in the lab."""

    def __init__(self, lab: Lab, inventory: Path) -> None:
        self.lab, self.inventory = lab, inventory
        self.first = lab.nodes[0]
        # Settings besides the image.
        self.settings: dict[str, Any] = {}
        inventory.mkdir(parents=True)
        (inventory / "group_vars").symlink_to(ROOT / "inventories/staging/group_vars")
        hosts = yaml.safe_load((ROOT / "inventories/staging/hosts.yml").read_text())
        children = hosts["all"]["children"]
        children["staging"]["hosts"]["dashtam-staging"]["swarm_advertise_address"] = self.first.address
        children["staging_nodes"]["hosts"] = {
            node.name: {"swarm_engine": node.engine, "swarm_advertise_address": node.address}
            for node in lab.nodes[1:]
        }
        (inventory / "hosts.yml").write_text(yaml.safe_dump(hosts))

    def play(self, name: str, image: str, *arguments: str) -> tuple[int, str]:
        """Run a playbook, of the present release without an image; return its code and all it said."""
        values = {"dashtam_instance": INSTANCE} | ({"staging_image": image} if image else {}) | self.settings
        # In CI, each run that fails would gather evidence and say where it is; here, many fail on purpose.
        left_out = ("ANSIBLE_", "CI", "BUNDLE")
        environment = {key: value for key, value in os.environ.items() if not key.startswith(left_out)}
        environment |= {"DOCKER_HOST": self.first.engine, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
        program = Path(sys.executable).with_name("ansible-playbook")
        command = [
            program,
            "-i",
            self.inventory,
            f"playbooks/{name}.yml",
            *arguments,
            "-e",
            json.dumps(values),
        ]
        done = subprocess.run(  # noqa: S603 - no word of it comes from outside
            command,
            cwd=ROOT,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        return done.returncode, done.stdout

    def deploy(self, image: str, *arguments: str) -> tuple[int, str, int]:
        """Deploy; return code, output, and how many tasks changed something."""
        code, said = self.play("staging", image, *arguments)
        changed = sum(int(part.split("=")[1]) for part in said.split() if part.startswith("changed="))
        return code, said, changed

    def tasks(self, service: str) -> list[dict[str, Any]]:
        """The tasks of a service that are meant to run and do."""
        api = self.first.api
        found = api.tasks({"service": f"{STAGE}-{service}", "desired-state": "running"})
        return [task for task in found if task["Status"]["State"] == "running"]

    def managers(self) -> dict[str, str]:
        """Return what the first engine says of each node as a manager."""
        found = {node["Description"]["Hostname"]: node for node in self.first.api.nodes()}
        return {
            name: f"{node['Status']['State']} {node['ManagerStatus']['Reachability']}"
            for name, node in found.items()
        }

    def settled(self, patience: float) -> bool:
        """Wait until every node is there as a manager; before, one more that is lost may stop them all."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            # While they have no leader, none of them answers.
            with suppress(APIError):
                if set(self.managers().values()) == {"ready reachable"}:
                    return True
            time.sleep(0.5)
        return False

    def run(self, service: str, command: list[str], **environment: str) -> str:
        """Run a command in one of a service's containers; return what it said, empty where none runs."""
        label = {"label": f"com.docker.swarm.service.name={STAGE}-{service}"}
        for node in self.lab.nodes:
            for container in node.api.containers(filters=label):
                return node.inside(container["Id"], command, **environment).strip()
        return ""

    def sql(self, statement: str) -> str:
        """Ask PostgreSQL, as its administrator; empty where it does not run."""
        return self.run("postgres", ["psql", "-U", "postgres", "-AtXc", statement, "dashtam"])


def version(lab: Lab, name: str) -> str:
    """Return the reference of one of VERSIONS; other labs on this machine have their own."""
    return f"{lab.prefix}/release:{name}"


def prepare(release: str, lab: Lab, images: list[str]) -> None:
    """Make the versions, and give all images to the first engine; the playbook brings them to the others."""
    for name, line in VERSIONS.items():
        changed = f"USER 0\nRUN {line} && find /app -name '*.pyc' -delete\nUSER 10001"
        reference = version(lab, name)
        text = f"FROM {release}\n{changed}\nLABEL three-engines={reference}\n"
        run("docker", "build", "-q", "-t", reference, "-", said=text)
    # At once: what several have in common goes once.
    all_of_them = [*images, release, *(version(lab, name) for name in VERSIONS)]
    with subprocess.Popen(["docker", "save", *dict.fromkeys(all_of_them)], stdout=subprocess.PIPE) as saved:  # noqa: S603, S607 - ours
        subprocess.run(["docker", "-H", lab.nodes[0].engine, "load", "-q"], stdin=saved.stdout, check=True)  # noqa: S603, S607 - ours


def images_of(release: str) -> tuple[str, list[str]]:
    """Return the release, made if none is given, and the other images."""
    names = FOLDER.with_suffix(".json")
    play = [
        {
            "hosts": "localhost",
            "connection": "local",
            "gather_facts": False,
            "vars": {
                "ansible_python_interpreter": sys.executable,
                "images_prefix": "dashtam",
                "images_labels": {"dashtam.images": "built"},
                "images_requirements": str(ROOT / "requirements/app.txt"),
                "images_wanted": ["postgres", "redis", "haproxy", "app"],
            },
            "tasks": [
                {"ansible.builtin.import_role": {"name": "dashtam.stack.images"}},
                {
                    "ansible.builtin.copy": {
                        "content": "{{ images_resolved | to_json }}",
                        "dest": str(names),
                        "mode": "0600",
                    }
                },
            ],
        }
    ]
    file = names.with_suffix(".yml")
    try:
        file.write_text(yaml.safe_dump(play))
        environment = os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
        program = Path(sys.executable).with_name("ansible-playbook")
        subprocess.run([program, "-i", "localhost,", file], cwd=ROOT, env=environment, check=True)  # noqa: S603 - ours
        resolved = json.loads(names.read_text())
    finally:
        for made in (file, names):
            made.unlink(missing_ok=True)
    if not release:
        release = str(json.loads(run("make", "--silent", "-C", ROOT, "release", "FORMAT=json"))["image"])
    return release, [resolved[name] for name in ("postgres", "redis", "haproxy", "app")]


@contextmanager
def requests(lab: Lab, nodes: list[Node]) -> Iterator[list[str]]:
    """Send requests while the body runs; the list gets a line for each kind of answer."""
    addresses = [node.address for node in nodes]
    command = ["ip", "netns", "exec", lab.switch, sys.executable, __file__, *addresses]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as sender:  # noqa: S603 - ours
        answers: list[str] = []
        try:
            yield answers
        finally:
            output, _ = sender.communicate("")
            answers += output.splitlines()


def until_200(lab: Lab, nodes: list[Node]) -> tuple[list[str], float]:
    """Send requests until all are answered with 200; return the last answers and the seconds it took.

    Each node's balancer finds tasks that are new, and misses those that are gone, by itself.
    """
    begun = time.monotonic()
    while True:
        with requests(lab, nodes) as answers:
            time.sleep(5)
        took = time.monotonic() - begun
        if only_200(answers) or took > PATIENCE:
            return answers, took


def send(addresses: list[str]) -> None:
    """Send requests until standard input ends, then print how many of which answer there were."""

    found: Counter[str] = Counter()
    client = httpx.Client(verify=str(CA), timeout=20)
    due, turn = time.monotonic(), 0
    while not select.select([sys.stdin], [], [], max(0.0, due - time.monotonic()))[0]:
        path = ("/health", "/ready")[turn % 2]
        address = addresses[turn % len(addresses)]
        turn, due = turn + 1, max(due + 1 / RATE, time.monotonic() - 1)
        try:
            answer = client.get(
                f"https://{address}:{PORT}{path}",
                headers={"Host": "localhost"},
                extensions={"sni_hostname": "localhost"},
            )
            found[str(answer.status_code)] += 1
        except httpx.HTTPError as error:
            found[f"{type(error).__name__} {error}"] += 1
    for kind, count in found.items():
        sys.stdout.write(f"{kind} {count}\n")


def only_200(answers: list[str]) -> bool:
    """Whether there was no other answer."""
    return len(answers) == 1 and answers[0].startswith("200 ")


if __name__ == "__main__":
    send(sys.argv[1:])
