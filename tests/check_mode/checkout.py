"""A checkout of its own with environments of its own, looked at before and after a playbook ran in it."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import docker
from docker.models.containers import Container

from tests import inside
from tests.by_path import ROOT
from tests.provisioning.playbook import start

INSTANCE = "check-mode"
PORT_OFFSET = 600
# Whatever the images role makes or gets; an engine may be at work on others.
IMAGE = re.compile("[^/]+/(base|postgres|redis|python|app):")

# Cluster, roles, databases and settings; no xmin, which a statement that changes nothing may renew.
CLUSTER = """
    SELECT format('server %s', system_identifier) FROM pg_control_system()
    UNION ALL SELECT format('role %s', to_jsonb(pg_authid)) FROM pg_authid WHERE rolname !~ '^pg_'
    UNION ALL SELECT format('database %s %s %s %s', oid, datname, datdba, datacl) FROM pg_database
    UNION ALL SELECT format('setting %s %s %s', setdatabase, setrole, setconfig) FROM pg_db_role_setting
    UNION ALL SELECT format('server setting %s %s', name, setting) FROM pg_settings
              WHERE source NOT IN ('default', 'client', 'session')
    UNION ALL SELECT format('ALTER SYSTEM %s %s', name, setting) FROM pg_file_settings
              WHERE sourcefile ~ 'postgresql.auto.conf'
    UNION ALL SELECT format('hba %s', md5(pg_read_file(current_setting('hba_file'))))
    ORDER BY 1
"""
# Of tables and sequences each row, with the transaction that wrote it.
ROWS = """
    SELECT format('%s %s.%s ', c.oid, nspname, relname) || CASE WHEN relkind IN ('r', 'S') THEN md5(
        query_to_xml(format('SELECT xmin, * FROM %s ORDER BY ctid', c.oid::regclass), true, false, '')::text
        ) ELSE '' END
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace
    WHERE nspname !~ '^(pg_|information_schema)' ORDER BY 1
"""
# Environment to its database's name, and to its index in Redis.
DATABASES = {"dev": ("dashtam", 0), "test": ("dashtam_test", 1), "ci": ("dashtam_test", 1)}


@dataclass(frozen=True)
class Look:
    """What was there at one moment: engine objects that are ours, the database, Redis, the checkout's files.

    `database` and `redis` have a key for each line that the server said, none where it did not run.
    """

    containers: dict[str, Any]
    networks: dict[str, Any]
    volumes: dict[str, Any]
    images: dict[str, Any]
    files: dict[str, tuple[int, int, int, str]]
    database: dict[str, bool]
    redis: dict[str, bool]


def differences(old: Any, new: Any, where: str = "") -> list[str]:
    """Return a line for each value that differs."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            line
            for key in sorted(old.keys() | new.keys())
            for line in differences(old.get(key), new.get(key), f"{where}/{key}")
        ]
    return [] if old == new else [f"{where}: {old!r} is {new!r} now"]


def changes(before: Look, after: Look, database: dict[str, bool]) -> dict[str, str]:
    """Return what differs: object to what happened to it.

    Containers are `created`, `removed`, `recreated`, `started`, `restarted` or `altered`, networks, volumes
    and images the first three of these, files and `postgres` and `redis` (what is in them) `changed`; of
    files in `src` and `tests` only that folder is named.

    :param database: what it was when it last could be asked.
    """
    found: dict[str, str] = {}
    for name in before.containers.keys() | after.containers.keys():
        old, new = before.containers.get(name), after.containers.get(name)
        if old == new:
            continue
        if old is None or new is None:
            found[name] = "created" if old is None else "removed"
        elif old["Id"] != new["Id"]:
            found[name] = "recreated"
        elif old["State"]["Status"] != "running":
            found[name] = "started"
        elif old["State"]["StartedAt"] != new["State"]["StartedAt"]:
            found[name] = "restarted"
        else:
            found[name] = "altered"
    for kind in ("networks", "volumes", "images"):
        olds, news = getattr(before, kind), getattr(after, kind)
        for name in olds.keys() | news.keys():
            # A network's members come and go with the containers.
            old, new = ((one.get(name) or {}).get("identity") for one in (olds, news))
            if old != new:
                found[name] = "created" if old is None else "removed" if new is None else "recreated"
    for path in before.files.keys() | after.files.keys():
        if path.endswith("/"):
            continue
        if before.files.get(path) != after.files.get(path):
            found[path.split("/")[0] if path.startswith(("src/", "tests/")) else path] = "changed"
    if after.database and (before.database or database) != after.database:
        found["postgres"] = "changed"
    if before.redis and after.redis and before.redis != after.redis:
        found["redis"] = "changed"
    return found


@dataclass(frozen=True)
class Run:
    """What one run of a playbook printed: all of it, what is for people, and the results by task."""

    output: str
    text: str
    results: list[tuple[str, dict[str, Any]]]

    @cached_property
    def changed(self) -> list[tuple[str, dict[str, Any]]]:
        """Task names with the results that say `changed`, a loop's items one by one."""
        single = [(name, item) for name, result in self.results for item in result.get("results", [result])]
        return [(name, result) for name, result in single if result.get("changed")]

    @property
    def failures(self) -> list[str]:
        """What failed tasks said."""
        return [str(result.get("msg", "")) for _, result in self.results if result.get("failed")]


@dataclass
class Checkout:
    """A copy of the working tree without anything that was rendered or generated."""

    folder: Path
    engine: docker.DockerClient
    values: dict[str, dict[str, str]] = field(default_factory=dict)
    instance: str = INSTANCE
    port_offset: int = PORT_OFFSET

    def play(self, playbook: str, *arguments: str, code: int = 0, **environment: str) -> Run:
        """Run a playbook of the copy; it must end with that code."""
        process = start(
            f"playbooks/{playbook}.yml",
            *("-e", f"dashtam_instance={self.instance}", "-e", f"dashtam_port_offset={self.port_offset}"),
            *arguments,
            folder=self.folder,
            config=self.folder,
            collections=self.folder / "playbooks/collections",
            **{
                "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.jsonl",
            }
            | environment,
        )
        output, _ = process.communicate()
        lines = output.splitlines()
        events = [json.loads(line) for line in lines if line.startswith('{"_event":')]
        results = [
            (event["task"]["name"], result)
            for event in events
            if event["_event"] in ("v2_runner_on_ok", "v2_runner_on_failed")
            for result in event["hosts"].values()
        ]
        shown = [line for line in lines if not line.startswith('{"_event":')]
        told = [result["msg"] for _, result in results if result.get("action") == "dashtam.stack.say"]
        run = Run(output=output, text="\n".join(shown + told), results=results)
        assert process.returncode == code, "\n".join([run.text, *run.failures])
        return run

    def local(self, environment: str, **values: str) -> None:
        """Set values of a person's own in env/local.<environment>.yml."""
        self.values.setdefault(environment, {}).update(values)
        path = self.folder / "env" / f"local.{environment}.yml"
        path.write_text("".join(f"{name}: {value}\n" for name, value in self.values[environment].items()))
        path.chmod(0o600)

    def container(self, name: str) -> Container:
        return self.engine.containers.get(name)

    def look(self, environment: str) -> Look:
        """Look at everything that an environment's run could change."""
        labels = {"label": [f"dashtam.instance={self.instance}", f"dashtam.environment={environment}"]}
        api = self.engine.api
        containers = {}
        for summary in api.containers(all=True, filters=labels):
            found = api.inspect_container(summary["Id"])
            # These change by themselves, with every probe of the container's health.
            found["State"].pop("Health", None)
            found.pop("ExecIDs")
            # The engine keeps them in no order.
            found["Mounts"].sort(key=lambda mount: mount["Destination"])
            containers[found["Name"].removeprefix("/")] = found
        networks = {one["Name"]: api.inspect_network(one["Id"]) for one in api.networks(filters=labels)}
        volumes = {one["Name"]: one["Labels"] for one in api.volumes(filters=labels)["Volumes"] or []}
        images = {tag: one["Id"] for one in api.images() for tag in one["RepoTags"] or []}
        return Look(
            containers=containers,
            networks={name: one | {"identity": one["Id"]} for name, one in networks.items()},
            # Not the whole of it: `CreatedAt` is when its folder last changed.
            volumes={name: {"identity": one} for name, one in volumes.items()},
            images={tag: {"identity": one} for tag, one in images.items() if IMAGE.match(tag)},
            files=self.files(),
            database=self.database(environment, containers),
            redis=self.ask(
                environment,
                containers,
                "redis",
                f"sh /tmp/redis-admin -n {DATABASES[environment][1]} DBSIZE;"
                "sh /tmp/redis-admin CONFIG GET '*' | paste - - | sort;"
                # Each start makes the administrator's password.
                "sh /tmp/redis-admin ACL LIST | grep -v '^user administrator '",
            ),
        )

    def ask(
        self, environment: str, containers: dict[str, Any], service: str, command: str
    ) -> dict[str, bool]:
        name = f"{self.instance}-{environment}-{service}"
        if containers.get(name, {"State": {"Status": ""}})["State"]["Status"] != "running":
            return {}
        user = "postgres" if service == "postgres" else ""
        return dict.fromkeys(
            inside.said(self.container(name), ["sh", "-c", command], user).splitlines(), True
        )

    def database(self, environment: str, containers: dict[str, Any]) -> dict[str, bool]:
        psql = "psql -XqAt -v ON_ERROR_STOP=1 -U postgres"
        command = f'{psql} -d postgres -c "{CLUSTER}" && {psql} -d {DATABASES[environment][0]} -c "{ROWS}"'
        return self.ask(environment, containers, "postgres", command)

    def files(self) -> dict[str, tuple[int, int, int, str]]:
        """Path to mode, owner, time of change in ns, content's hash; a folder's path ends in `/`."""
        found = {}
        for path in sorted(self.folder.rglob("*")):
            about = path.lstat()
            folder = path.is_dir()
            content = "" if folder else hashlib.sha256(path.read_bytes()).hexdigest()
            name = str(path.relative_to(self.folder)) + ("/" if folder else "")
            # Each run that changes something, or might have, is noted there.
            if name == "reports/" or name.startswith("reports/history.sqlite"):
                continue
            found[name] = (about.st_mode, about.st_uid, about.st_mtime_ns, content)
        return found

    def forget(self, environment: str) -> None:
        """Remove everything of an environment from the engine."""
        labels = {"label": [f"dashtam.instance={self.instance}", f"dashtam.environment={environment}"]}
        for container in self.engine.containers.list(all=True, filters=labels):
            container.remove(force=True, v=True)
        for network in self.engine.networks.list(filters=labels):
            network.remove()
        for volume in self.engine.volumes.list(filters=labels):
            volume.remove()


def copy_tree(copy: Path) -> None:
    """Copy the working tree as git sees it; what else is there stays."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listing.split("\0")):
        # Links, to folders too, stay links.
        if (ROOT / name).exists():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).unlink(missing_ok=True)
            shutil.copy2(ROOT / name, copy / name, follow_symlinks=False)


@contextmanager
def copied(*environments: str, **options: Any) -> Iterator[Checkout]:
    """A fresh copy, whose environments go with it; ``options`` are the checkout's."""
    folder = Path(tempfile.mkdtemp(prefix="dashtam-check-mode-"))
    copy = folder / "checkout"
    copy_tree(copy)
    # As with an umask of 022: what the app's user may not read is a case of its own.
    subprocess.run(["chmod", "-R", "u+rwX,go=rX", folder], check=True)
    # Python would do so at the first run, and every file is looked at.
    compiled = ("plugins", "playbooks/callback_plugins")
    subprocess.run([sys.executable, "-m", "compileall", "-q", *compiled], cwd=copy, check=True)
    engine = docker.from_env()
    checkout = Checkout(copy, engine, **options)
    try:
        # What a killed run left.
        for environment in environments:
            checkout.forget(environment)
        yield checkout
    finally:
        for environment in environments:
            checkout.forget(environment)
        engine.close()
        shutil.rmtree(folder)
