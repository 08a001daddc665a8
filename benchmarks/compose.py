"""The same environment by docker compose, from the compose file that `make plan FORMAT=compose` prints."""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, ClassVar

import yaml

from benchmarks.commands import CommandError, remove_labelled, run
from benchmarks.playbooks import Playbooks
from benchmarks.sides import CHANGED, Side

# Compose learns from health checks alone that a service is ready: with a declared interval of 10 s it would
# wait longer than it has to.
HEALTH_INTERVAL = "5s"
PACKAGE = "docker-compose"
PLUGIN = "./usr/libexec/docker/cli-plugins/docker-compose"
# To the standard output, so that nothing has to be mounted.
FETCH = f"""\
cd /tmp && {{ apt-get -qq update && apt-get -qq download {PACKAGE}; }} >&2 &&
dpkg-deb --fsys-tarfile {PACKAGE}_*.deb | tar -xO {PLUGIN}
"""
IDENTITY = """
    SELECT system_identifier || ':' || oid FROM pg_control_system(), pg_database
    WHERE datname = current_database()
"""
INIT = ("python", "-m", "src.core.init_test_db")
PYTEST = ("python", "-m", "pytest", "-c", "/app/tests/pytest.ini")


def cached_client() -> Path:
    """Return where a fetched client is kept."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "dashtam-benchmarks" / PACKAGE


def client() -> tuple[str, ...]:
    """Return the command that is docker compose: this machine's, or else Debian's, fetched once.

    :raises CommandError: docker compose is missing and cannot be fetched.
    """
    for command in (("docker", "compose"), (str(cached_client()),)):
        if shutil.which(command[0]):
            tried = subprocess.run([*command, "version"], capture_output=True, check=False)
            if tried.returncode == 0:
                return command
    return (str(fetch_client()),)


def fetch_client() -> Path:
    """Fetch Debian's client in a container of the base image, and return its path.

    :raises CommandError: there is no base image, or Debian's mirror does not answer.
    """
    images = run("docker", "images", "--quiet", "dashtam/base").split()
    if not images:
        raise CommandError(
            "docker compose is missing, and there is no image dashtam/base to fetch it in. Install it."
        )
    path = cached_client()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{PACKAGE}.partial")
    with partial.open("wb") as file:
        fetched = subprocess.run(
            ["docker", "run", "--rm", images[0], "sh", "-c", FETCH],
            stdout=file,
            stderr=subprocess.PIPE,
            check=False,
        )
    if fetched.returncode != 0:
        partial.unlink()
        raise CommandError(f"docker compose cannot be fetched: {fetched.stderr.decode(errors='replace')}")
    partial.chmod(0o755)
    return partial.rename(path)


class Compose(Side):
    """A compose project from an environment's declaration."""

    name: ClassVar[str] = "compose"

    def __init__(
        self,
        source: Playbooks,
        folder: Path,
        command: tuple[str, ...],
        health_interval: str | None = HEALTH_INTERVAL,
    ) -> None:
        """Write the project's files.

        :param source: the instance whose declaration and secrets are used; it has been up before.
        :param folder: where files with secrets may be written.
        :param command: the command that is docker compose.
        :param health_interval: time between two health checks, with its unit; None keeps what is declared.
        """
        super().__init__(source.environment)
        self.command = command
        self.declared: dict[str, Any] = yaml.safe_load(source.compose_file())
        # What carries the project's label is removed, so it must be a name that nobody else uses.
        self.project = f"dashtam-benchmark-{self.declared['name']}"
        self.declared["name"] = self.project
        if health_interval:
            for service in self.declared["services"].values():
                service["healthcheck"]["interval"] = health_interval
        self.file = folder / f"{self.project}.yml"
        self.env_file = folder / f"{self.project}.env"
        shutil.copy(source.env_file, self.env_file)

    def client(self, *arguments: str) -> str:
        """Run docker compose for this project and return what it prints."""
        return run(*self.command, "--file", str(self.file), "--env-file", str(self.env_file), *arguments)

    def write(self, changed: bool = False) -> None:
        """Write the compose file, with another value of one variable if asked to."""
        content = copy.deepcopy(self.declared)
        if changed:
            name, value = CHANGED
            for service in content["services"].values():
                if name in service.get("environment", {}):
                    service["environment"][name] = value
        self.file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")

    def up(self, changed: bool = False) -> None:
        """See :meth:`Side.up`."""
        self.write(changed)
        self.client("up", "--wait")

    def down(self) -> None:
        """See :meth:`Side.down`."""
        self.client("down")

    def remove(self) -> None:
        """See :meth:`Side.remove`."""
        remove_labelled(f"com.docker.compose.project={self.project}")

    def initialise(self) -> None:
        """Drop and recreate everything in the test database."""
        database = self.declared["services"]["app"]["environment"]["POSTGRES_DB"]
        psql = ("psql", "-qAtX", "-U", "postgres", "-d", database, "-c", IDENTITY)
        identity = self.client("exec", "-T", "-u", "postgres", "postgres", *psql).strip()
        self.client("exec", "-T", "-e", f"TEST_DATABASE_IDENTITY={identity}", "app", *INIT)

    def test(self, path: str) -> None:
        """See :meth:`Side.test`."""
        self.client("up", "--wait")
        self.initialise()
        self.client("exec", "-T", "app", *PYTEST, path)

    def container(self, service: str) -> str:
        """See :meth:`Side.container`."""
        return f"{self.project}-{service}-1"

    def containers(self) -> list[str]:
        """See :meth:`Side.containers`."""
        label = f"label=com.docker.compose.project={self.project}"
        return run("docker", "ps", "--format", "{{.Names}}", "--filter", label).split()
