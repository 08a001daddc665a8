"""Docker engines for a Swarm on one machine: each in network, mount and host name of its own. Needs root.

What is made is below one folder and in network namespaces of one prefix. The machine's own engine is not
touched.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import docker
from docker.errors import DockerException
from requests.exceptions import RequestException

sys.path.append(str(Path(__file__).resolve().parents[1] / "playbooks/collections"))
from ansible_collections.dashtam.stack.plugins.module_utils import engine_exec

SUBNET = "10.77.0"
# Beside them, on the switch.
CLIENTS = [f"{SUBNET}.{number}" for number in (251, 252, 253)]
# Seconds for an engine that starts or ends, and for what it leaves to go.
PATIENCE = 120
START = """
mount --make-rprivate / && mount -t tmpfs tmpfs /run/docker && hostname {name} && exec dockerd \\
    --config-file {folder}/daemon.json --data-root {folder}/data --exec-root {folder}/exec \\
    --pidfile {folder}/docker.pid -H unix://{folder}/docker.sock --bip 172.3{number}.0.1/16 \\
    --cgroup-parent=/{name} --exec-opt native.cgroupdriver=cgroupfs \\
    --default-address-pool base=172.4{number}.0.0/16,size=24
"""


def run(*command: object, check: bool = True, said: str = "") -> str:
    """Run a command and return what it printed on standard output."""
    words = [str(word) for word in command]
    stderr = None if check else subprocess.DEVNULL
    done = subprocess.run(words, check=check, text=True, stdout=subprocess.PIPE, stderr=stderr, input=said)  # noqa: S603 - our own
    return done.stdout


class Node:
    """One engine."""

    def __init__(self, prefix: str, number: int, folder: Path) -> None:
        self.name, self.number, self.switch = f"{prefix}-n{number}", number, f"{prefix}-sw"
        self.address = f"{SUBNET}.{number}"
        self.folder = folder / self.name
        self.engine = f"unix://{self.folder}/docker.sock"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def api(self) -> docker.APIClient:
        """A client of its engine."""
        return docker.APIClient(base_url=self.engine, timeout=120)

    def inside(self, container: str, command: list[str], **environment: str) -> str:
        """Run a command in one of its containers; return what it printed, whether or not it succeeded."""
        return engine_exec.execute(self.api, container, command, env=environment)[1]

    def containers(self, filters: dict[str, str]) -> list[dict[str, Any]]:
        """Its running containers; of an engine that does not answer, none."""
        try:
            found: list[dict[str, Any]] = self.api.containers(filters=filters)
        except (DockerException, RequestException):
            return []
        return found

    def connect(self) -> None:
        """Connect it to the others by a network of its own that is new, as a machine has it that has booted.

        What an engine that ends may leave of a VXLAN would keep tasks from starting until a machine boots:
        https://github.com/moby/libnetwork/issues/1765.
        """
        veth = f"{self.name}v"
        run("ip", "-n", self.switch, "link", "del", veth, check=False)
        run("ip", "netns", "del", self.name, check=False)
        run("ip", "netns", "add", self.name)
        run("ip", "-n", self.name, "link", "set", "lo", "up")
        ends = ("netns", self.switch, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        run("ip", "link", "add", veth, *ends)
        run("ip", "-n", self.switch, "link", "set", veth, "master", "br0", "up")
        run("ip", "-n", self.name, "addr", "add", f"{self.address}/24", "dev", "eth0")
        run("ip", "-n", self.name, "link", "set", "eth0", "up")
        run("ip", "-n", self.name, "route", "add", "default", "via", f"{SUBNET}.254")

    def start(self) -> None:
        """Start the engine in its namespaces, connected, and wait until it answers."""
        self.begin()
        self.wait()

    def begin(self) -> None:
        """Start the engine in its namespaces, connected."""
        self.connect()
        (self.folder / "docker.pid").unlink(missing_ok=True)
        script = START.format(name=self.name, number=self.number, folder=self.folder)
        command = [
            "nsenter",
            f"--net=/run/netns/{self.name}",
            "unshare",
            "--mount",
            "--uts",
            "sh",
            "-c",
            script,
        ]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def wait(self) -> None:
        """Wait until the engine answers."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with suppress(DockerException, RequestException):
                self.api.ping()
                return
            time.sleep(0.1)
        raise TimeoutError(f"{self.name} does not answer; see {self.folder}/log")

    def processes(self) -> set[int]:
        """All of its processes: those of its network's and of its tasks' namespaces."""
        found: set[int] = set()
        if Path(f"/run/netns/{self.name}").exists():
            found |= {int(pid) for pid in run("ip", "netns", "pids", self.name, check=False).split()}
        for pattern in (f"*/{self.name}/**/cgroup.procs", f"{self.name}/**/cgroup.procs"):
            for tasks in Path("/sys/fs/cgroup").glob(pattern):
                with suppress(OSError):
                    found |= set(map(int, tasks.read_text().split()))
        # Shims are in the session's folder, not in its network.
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with suppress(OSError):
                    if f"{self.folder}/".encode() in (entry / "cmdline").read_bytes():
                        found.add(int(entry.name))
        return found - {os.getpid()}

    def kill(self) -> None:
        """End it as a power cut does: its network first, then all of its processes."""
        run("ip", "-n", self.name, "link", "set", "eth0", "down", check=False)
        end = time.monotonic() + PATIENCE
        # One that was killed is there until the kernel has let go of its files and mounts.
        while (left := self.processes()) and time.monotonic() < end:
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)

    def stop(self) -> None:
        """End the engine in order, then whatever is left of it."""
        if self.process is not None and self.process.poll() is None:
            with suppress(OSError, ValueError):
                os.kill(int((self.folder / "docker.pid").read_text()), signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=PATIENCE)
        self.kill()


class Lab:
    """Engines that reach each other over a bridge of their own, and nothing else."""

    def __init__(self, prefix: str, folder: Path, number: int = 3) -> None:
        self.prefix, self.switch, self.folder = prefix, f"{prefix}-sw", folder
        self.nodes = [Node(prefix, number, folder) for number in range(1, number + 1)]

    def up(self) -> None:
        """Make it all."""
        switch = self.switch
        run("ip", "netns", "add", switch)
        run("ip", "-n", switch, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", switch, "link", "set", "br0", "up")
        run("ip", "-n", switch, "link", "set", "lo", "up")
        for address in (f"{SUBNET}.254", *CLIENTS):
            run("ip", "-n", switch, "addr", "add", f"{address}/24", "dev", "br0")
        for node in self.nodes:
            for part in ("data", "exec"):
                (node.folder / part).mkdir(parents=True)
            (node.folder / "daemon.json").write_text("{}")
            node.begin()
        for node in self.nodes:
            node.wait()

    def down(self) -> None:
        """Remove all of it; what was never made is no error."""
        with ThreadPoolExecutor(len(self.nodes)) as stopping:
            list(stopping.map(Node.stop, self.nodes))
        for name in [*(node.name for node in self.nodes), self.switch]:
            run("ip", "netns", "del", name, check=False)
        for node in self.nodes:
            for folder in [
                *Path("/sys/fs/cgroup").glob(f"*/{node.name}"),
                Path("/sys/fs/cgroup") / node.name,
            ]:
                for group in sorted(folder.rglob("*/"), reverse=True):
                    with suppress(OSError):
                        group.rmdir()
                with suppress(OSError):
                    folder.rmdir()
        # What was mounted in a namespace is busy until the kernel has ended that.
        end = time.monotonic() + PATIENCE
        while self.folder.exists():
            try:
                shutil.rmtree(self.folder)
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.5)
