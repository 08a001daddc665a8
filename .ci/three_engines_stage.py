"""The stage that .ci/three-engines looks at: deployed in the lab, and asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from docker.errors import DockerException
from requests.exceptions import RequestException
from three_engines_lab import Lab, run

ROOT = Path(__file__).resolve().parents[1]
INSTANCE = "three-engines"
STAGE = f"{INSTANCE}-staging"
MADE = (ROOT / f"env/.secrets.staging.{INSTANCE}.yml", ROOT / f"env/.env.staging.{INSTANCE}")
# Engines keep their data here: /tmp may be in memory.
FOLDER = Path("/var/tmp/three-engines")  # noqa: S108 - only root runs this
# A version that does not answer is given up sooner.
FASTER = {"app_ready_timeout": 20}
# staging_replicas, see playbooks/environment/defaults/main.yml.
REPLICAS = 2
NEEDED = ["postgres", "redis", "haproxy", "app", "monitoring"]
# Of the second version nothing differs but its name; the others have one fault each.
BROKEN_HEALTH = """sed -i 's|@app.get("/health"|@app.get("/unhealthy"|' /app/src/main.py"""
BROKEN_MIGRATION = """printf 'raise SystemExit("the migration ends here")' >/app/src/core/init_db.py"""
VERSIONS = {"v2": "true", "broken-health": BROKEN_HEALTH, "broken-migration": BROKEN_MIGRATION}


class Stage:
    """The stage in the lab."""

    def __init__(self, lab: Lab, inventory: Path) -> None:
        self.lab, self.inventory = lab, inventory
        self.first = lab.nodes[0]
        # Settings besides the image and FASTER.
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
        image_given = {"staging_image": image} if image else {}
        values = {"dashtam_instance": INSTANCE} | FASTER | image_given | self.settings
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

    def versions(self) -> dict[str, int]:
        """Return which version of its declaration each service has; a change makes another one."""
        return {one["Spec"]["Name"]: one["Version"]["Index"] for one in self.first.api.services()}

    def settled(self, patience: float) -> bool:
        """Wait until every node is there as a manager; before, one more that is lost may stop them all."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            # While they have no leader, none of them answers.
            with suppress(DockerException, RequestException):
                if set(self.managers().values()) == {"ready reachable"}:
                    return True
            time.sleep(0.5)
        return False

    def run(self, service: str, command: list[str], **environment: str) -> str:
        """Run a command in the newest of a service's containers; return what it said, empty where none runs.

        An older one may be about to end, and the managers know of one that has gone only after a while.
        """
        label = {"label": f"com.docker.swarm.service.name={STAGE}-{service}"}
        found = [(one["Created"], node, one) for node in self.lab.nodes for one in node.containers(label)]
        if not found:
            return ""
        _, node, container = max(found, key=lambda one: one[0])
        try:
            return node.inside(container["Id"], command, **environment).strip()
        except (DockerException, RequestException) as error:
            return f"{container['Names']} on {node.name}: {error}"

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
                "images_wanted": NEEDED,
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
    return release, [resolved[name] for name in NEEDED]
