"""Run a command in a container, or on this host, and show its output line by line while it runs.

    - name: Run the tests
      stream_exec:
        container: "{{ app_container_name }}"
        command: [python, -m, pytest, -c, /app/tests/pytest.ini]
        env: {COVERAGE_FILE: /tmp/reports/.coverage}
        fetch:
          /tmp/reports/junit.xml: "{{ reports }}/junit.xml"
      register: tests
      changed_when: false

`ansible.builtin.command` and `community.docker.docker_container_exec` show nothing before the command has
ended.

Options
  command    argv, a list: no shell reads it. Required.
  container  name or id of a running container; without it the command runs on this host.
  env        dict of additional variables, text or numbers. Not shown by this plugin; `no_log: true` on the
             task hides it from -vvv too, and the streamed output stays visible.
  workdir    working directory.
  quiet      show the output only if the code is not 0, or at -v (default: false).
  fetch      dict of path in the container -> path on this host: report files that the command writes.
             Removed on both sides before it starts, so that what is there afterwards is of this run. Read
             through `cat`, as the archive API does not see a tmpfs; written at once, for the folder's owner.

Result: `rc` (128 + signal where a signal ended the command), `fetched` and `missing` (host paths). A code
other than 0 is no failure of the task: the caller decides. It fails where the command could not be started.
Under --check nothing is run (skipped, rc 0).

Ctrl-C or SIGTERM to ansible-playbook sends SIGINT to the command's process group, in the container too (the
engine's API cannot end an exec, so a shell tells us its process id there), and SIGKILL to what is left of
the group once it has ended or five seconds have passed.
Nothing can be done on a SIGKILL of ansible-playbook itself: the command then runs to its end. A Python
command without a terminal shows its lines late unless its environment has PYTHONUNBUFFERED=1.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from io import BufferedReader
from pathlib import Path
from typing import Any, ClassVar, cast

from ansible.errors import AnsibleActionFail
from ansible.utils.display import Display
from ansible_collections.dashtam.stack.plugins.module_utils import engine, engine_exec, private_files
from ansible_collections.dashtam.stack.plugins.module_utils.interruption import Interrupted, interruptible
from ansible_collections.dashtam.stack.plugins.module_utils.lines import Lines
from ansible_collections.dashtam.stack.plugins.module_utils.local_action import LocalAction
from docker import APIClient
from docker.errors import NotFound

display = Display()

GRACE = 5.0
# The first line is the process id inside the container; `exec` keeps it, and each exec is a session leader.
START = 'echo "$$"; exec "$@"'


def _run_here(
    command: list[str], env: dict[str, str], workdir: str | None, show: Callable[[str], None]
) -> int:
    try:
        process = subprocess.Popen(  # noqa: S603 - running the caller's argv is the purpose
            command,
            cwd=workdir,
            env=os.environ | env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise AnsibleActionFail(f"cannot run {command[0]}: {error.strerror}: {error.filename}") from error
    lines = Lines(show)
    output = cast(BufferedReader, process.stdout)
    try:
        while piece := output.read1():
            lines.feed(piece)
        lines.close()
        code = process.wait()
    except Interrupted:
        os.killpg(process.pid, signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        raise
    return 128 - code if code < 0 else code


class _Container:
    """A running container, through the engine's API."""

    def __init__(self, api: APIClient, name: str, show: Callable[[str], None]) -> None:
        self._api, self._show = api, show
        self._id = api.inspect_container(name)["Id"]

    def run(self, command: list[str], env: dict[str, str], workdir: str | None) -> int:
        lines = {stream: Lines(self._show) for stream in (engine_exec.OUTPUT, engine_exec.ERRORS)}
        head = b""
        process = None
        execution = engine_exec.create(
            self._api, self._id, ["sh", "-c", START, "sh", *command], env, workdir=workdir
        )
        try:
            for stream, piece in engine_exec.pieces(self._api, execution):
                if stream == engine_exec.OUTPUT and process is None:
                    head += piece
                    first, newline, rest = head.partition(b"\n")
                    if newline:
                        process = int(first)
                        lines[stream].feed(rest)
                else:
                    lines[stream].feed(piece)
            for each in lines.values():
                each.close()
        except Interrupted:
            if process is not None:
                self._stop(execution, process)
            raise
        return engine_exec.exit_code(self._api, execution)

    def remove(self, paths: list[str]) -> None:
        """Remove files that may be there; what stayed would pass for this run's."""
        code, said = engine_exec.execute(self._api, self._id, ["rm", "-f", "--", *paths])
        if code:
            raise AnsibleActionFail(f"files of an earlier run cannot be removed: {said.strip()}")

    def read(self, path: str) -> bytes | None:
        """Return the file's content, or None if it does not exist."""
        execution = engine_exec.create(self._api, self._id, ["cat", "--", path])
        content = b"".join(
            piece
            for stream, piece in engine_exec.pieces(self._api, execution)
            if stream == engine_exec.OUTPUT
        )
        return content if engine_exec.exit_code(self._api, execution) == 0 else None

    def _stop(self, execution: str, process: int) -> None:
        self._kill("INT", process)
        end = time.monotonic() + GRACE
        while time.monotonic() < end and self._api.exec_inspect(execution)["Running"]:
            time.sleep(0.1)
        self._kill("KILL", process)

    def _kill(self, name: str, process: int) -> None:
        engine_exec.execute(self._api, self._id, ["sh", "-c", f"kill -{name} -{process}"])


def _text(env: dict[str, Any]) -> dict[str, str]:
    for name, value in env.items():
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise AnsibleActionFail(f"env: {name} must be text or a number, quote it")
    return {name: str(value) for name, value in env.items()}


class ActionModule(LocalAction):
    """Stream a command's output; see the module's description."""

    arguments: ClassVar[Any] = {
        "command": {"type": "list", "elements": "str", "required": True},
        "container": {"type": "str"},
        "env": {"type": "dict", "default": {}},
        "workdir": {"type": "str"},
        "fetch": {"type": "dict", "default": {}},
        "quiet": {"type": "bool", "default": False},
    }

    def act(self, args: dict[str, Any]) -> dict[str, Any]:
        command, env, fetch = args["command"], _text(args["env"]), args["fetch"]
        if not command:
            raise AnsibleActionFail("command must name a program")
        if args["container"] is None and fetch:
            raise AnsibleActionFail("fetch needs a container")
        if self.dry_run:
            return {"skipped": True, "rc": 0, "fetched": [], "missing": []}

        # `failed` is said, or Ansible makes a failure of any rc but 0
        report: dict[str, Any] = {"failed": False, "changed": True, "fetched": [], "missing": []}
        kept: list[str] = []
        show = kept.append if args["quiet"] and not display.verbosity else display.display
        with interruptible():
            if args["container"] is None:
                report["rc"] = _run_here(command, env, args["workdir"], show)
            else:
                with engine.client() as api:
                    try:
                        container = _Container(api, args["container"], show)
                    except NotFound as error:
                        message = f"there is no container {args['container']}: start it first"
                        raise AnsibleActionFail(message) from error
                    report |= _run_there(container, command, env, args["workdir"], fetch)
        if report["rc"] != 0:
            for line in kept:
                display.display(line)
        return report


def _run_there(
    container: _Container, command: list[str], env: dict[str, str], workdir: str | None, fetch: dict[str, str]
) -> dict[str, Any]:
    """Run the command and fetch its files; return `rc`, `fetched` and `missing`."""
    for target in fetch.values():
        Path(target).unlink(missing_ok=True)
    if fetch:
        container.remove(list(fetch))
    report: dict[str, Any] = {"rc": container.run(command, env, workdir), "fetched": [], "missing": []}
    for source, target in fetch.items():
        content = container.read(source)
        if content is not None:
            Path(target).parent.mkdir(parents=True, exist_ok=True)
            private_files.write(Path(target), content, mode=0o644)
        report["missing" if content is None else "fetched"].append(target)
    return report
