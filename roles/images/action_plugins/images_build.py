"""Builds one image from a folder and a few more files."""

from __future__ import annotations

import io
import tarfile
import tempfile
from pathlib import Path
from typing import IO, Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

DOCUMENTATION = r"""
module: images_build
author: Dashtam contributors
short_description: Builds one image with the engine's classic builder
description:
  - Runs in the controller's own process; needs neither buildx nor a temporary context on disk.
  - The context is the same whatever the umask of the checkout. A failed build shows the end of its real log.
options:
  name: {description: Reference of the image., type: str, required: true}
  folder: {description: Build context., type: path, required: true}
  files: {description: Further files of the context, name to path., type: dict, default: {}}
  contents: {description: Further files of the context, name to content., type: dict, default: {}}
  args: {description: Build arguments., type: dict, default: {}}
  labels: {description: Labels of the image., type: dict, default: {}}
  cache: {description: Whether layers of earlier builds may be used., type: bool, default: true}
"""

LOG_LINES = 25


def add_file(context: tarfile.TarFile, name: str, source: IO[bytes], size: int, executable: bool) -> None:
    """Add a file whose owner, mode and time do not depend on the checkout."""
    entry = tarfile.TarInfo(name)
    entry.size = size
    entry.mode = 0o755 if executable else 0o644
    context.addfile(entry, source)


def write_context(target: IO[bytes], folder: Path, files: dict[str, str], contents: dict[str, str]) -> None:
    """Write a build context as tar."""
    paths = {path.name: path for path in sorted(folder.iterdir())}
    paths |= {name: Path(path) for name, path in files.items()}
    with tarfile.open(fileobj=target, mode="w") as context:
        for name, path in paths.items():
            with path.open("rb") as source:
                executable = source.read(2) == b"#!"
                source.seek(0)
                add_file(context, name, source, path.stat().st_size, executable)
        for name, content in contents.items():
            data = content.encode()
            add_file(context, name, io.BytesIO(data), len(data), executable=False)
    target.seek(0)


def failure(name: str, log: str, error: str) -> str:
    """One readable message of a failed build."""
    lines = [line.rstrip() for line in log.splitlines() if line.strip()]
    shown = [f"  {line}" for line in [*lines[-LOG_LINES:], error]]
    return "\n".join([f"Building {name} failed. The end of its log:", *shown])


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core ships no types
    """See DOCUMENTATION."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Build, or say what would be built."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, options = self.validate_argument_spec(
            argument_spec={
                "name": {"type": "str", "required": True},
                "folder": {"type": "path", "required": True},
                "files": {"type": "dict", "default": {}},
                "contents": {"type": "dict", "default": {}},
                "args": {"type": "dict", "default": {}},
                "labels": {"type": "dict", "default": {}},
                "cache": {"type": "bool", "default": True},
            }
        )
        result["changed"] = True
        if self._task.check_mode:
            return result

        import docker
        from requests.exceptions import RequestException

        name = options["name"]
        log = ""
        # Beside the data of the files, which may not fit into memory or a small /tmp.
        with tempfile.TemporaryFile(dir="/var/tmp") as context:
            try:
                write_context(context, Path(options["folder"]), options["files"], options["contents"])
            except OSError as error:
                raise AnsibleActionFail(f"Building {name}: {error.filename}: {error.strerror}") from error
            try:
                api = docker.from_env(timeout=3600).api
                for event in api.build(
                    fileobj=context,
                    custom_context=True,
                    tag=name,
                    buildargs={key: str(value) for key, value in options["args"].items()},
                    labels={key: str(value) for key, value in options["labels"].items()},
                    nocache=not options["cache"],
                    rm=True,
                    forcerm=True,
                    use_config_proxy=True,
                    decode=True,
                ):
                    log += event.get("stream", "")
                    if "error" in event:
                        raise AnsibleActionFail(failure(name, log, event["error"].strip()))
            except (docker.errors.DockerException, RequestException) as error:
                raise AnsibleActionFail(failure(name, log, str(error))) from error
        return result
