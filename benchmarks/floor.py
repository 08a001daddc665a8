"""The floor: nothing but `docker run` of the same containers, all at once, until the app is ready."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from benchmarks.commands import CommandError, remove_labelled, run
from benchmarks.compose import Compose

LABEL = "dashtam.benchmark=floor"
READY_SECONDS = 120
POLL_SECONDS = 0.1
READY = ("curl", "-fsS", "--max-time", "5", "--cacert", "/app/certs/ca.pem", "https://localhost:8000/ready")
# Keys of a compose file and the flags of `docker run` that mean the same.
SINGLE = {
    "user": "user",
    "working_dir": "workdir",
    "restart": "restart",
    "shm_size": "shm-size",
    "mem_limit": "memory",
    "memswap_limit": "memory-swap",
    "cpu_period": "cpu-period",
    "cpu_quota": "cpu-quota",
    "pids_limit": "pids-limit",
    "init": "init",
    "read_only": "read-only",
}
REPEATED = {"ports": "publish", "cap_drop": "cap-drop", "cap_add": "cap-add", "security_opt": "security-opt"}


def _literal(text: str, values: dict[str, str | None]) -> str:
    """Return what compose makes of a text: ``${NAME:?...}`` replaced, ``$$`` as one ``$``."""

    def value(found: re.Match[str]) -> str:
        return "$" if found[0] == "$$" else values[found[1]] or ""

    return re.sub(r"\$\$|\$\{(\w+):\?[^}]*\}", value, text)


class Floor:
    """The containers of a compose project, started without compose."""

    def __init__(self, compose: Compose, folder: Path) -> None:
        """Write the files that compose would place in the containers.

        :param folder: where files with secrets may be written.
        """
        self.services: dict[str, Any] = compose.declared["services"]
        self.values = dotenv_values(compose.env_file, interpolate=False)
        self.files = folder / "floor"
        self.files.mkdir(mode=0o755)
        self.network = f"{compose.project}-floor"
        for name, config in compose.declared["configs"].items():
            self._write(name, _literal(config["content"], self.values))
        for name, secret in compose.declared["secrets"].items():
            self._write(name, self.values[secret["environment"]] or "")

    def _write(self, name: str, content: str) -> None:
        (self.files / name).write_text(content, encoding="utf-8")
        # The server's user is another one than this process's.
        (self.files / name).chmod(0o644)

    def _mounts(self, service: dict[str, Any]) -> list[str]:
        words = []
        for mount in service.get("volumes", []):
            parts = [f"type={mount['type']}", f"target={mount['target']}"]
            if "source" in mount:
                parts.append(f"source={'floor_' if mount['type'] == 'volume' else ''}{mount['source']}")
            if mount["type"] == "volume":
                parts.append(f"volume-label={LABEL}")
            if mount.get("read_only"):
                parts.append("readonly")
            for key, value in mount.get("tmpfs", {}).items():
                parts.append(f"tmpfs-{key}={f'{value:o}' if key == 'mode' else value}")
            words += ["--mount", ",".join(parts)]
        placed = [(config["source"], config["target"]) for config in service.get("configs", [])]
        placed += [(name, f"/run/secrets/{name}") for name in service.get("secrets", [])]
        for name, target in placed:
            words += ["--mount", f"type=bind,source={self.files / name},target={target},readonly"]
        return words

    def _start(self, name: str) -> None:
        """Start one service; it is given values by the environment, so that `ps` shows no secret."""
        service = self.services[name]
        declared = service.get("environment", {})
        environment = {key: _literal(value, self.values) for key, value in declared.items()}
        words = [f"--name={self.network}-{name}", f"--network={self.network}", f"--label={LABEL}"]
        words += [f"--network-alias={alias}" for alias in service["networks"]["default"]["aliases"]]
        words += [f"--env={key}" for key in environment]
        words += [f"--{flag}={value}" for key, flag in REPEATED.items() for value in service.get(key, [])]
        words += [f"--{flag}={service[key]}" for key, flag in SINGLE.items() if key in service]
        words += [f"--ulimit={name}={value}" for name, value in service.get("ulimits", {}).items()]
        command = [_literal(word, self.values) for word in service["command"]]
        words += [*self._mounts(service), service["image"], *command]
        run("docker", "run", "--detach", *words, environment=environment)

    def up(self) -> None:
        """Start all at once and return when the app answers that it is ready.

        :raises CommandError: it is not ready within two minutes.
        """
        run("docker", "network", "create", "--label", LABEL, self.network)
        with ThreadPoolExecutor() as pool:
            list(pool.map(self._start, self.services))
        deadline = time.monotonic() + READY_SECONDS
        question = ["docker", "exec", f"{self.network}-app", *READY]
        while subprocess.run(question, capture_output=True, check=False).returncode != 0:
            if time.monotonic() > deadline:
                raise CommandError(f"{self.network}-app is not ready after {READY_SECONDS} s")
            time.sleep(POLL_SECONDS)

    def remove(self) -> None:
        """Remove containers, network and volumes."""
        remove_labelled(LABEL)

    def close(self) -> None:
        """Remove everything, the files included."""
        self.remove()
        shutil.rmtree(self.files, ignore_errors=True)
