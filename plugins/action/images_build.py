"""Builds one image from a folder and a few more files, and removes what it replaces."""

from __future__ import annotations

import fcntl
import io
import os
import re
import tarfile
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

from ansible.errors import AnsibleActionFail
from ansible.utils.display import Display
from ansible_collections.dashtam.stack.plugins.module_utils import engine, progress
from ansible_collections.dashtam.stack.plugins.module_utils.local_action import LocalAction

DOCUMENTATION = r"""
module: images_build
short_description: Builds one image with the engine's classic builder
description:
  - Runs in the controller's own process; needs neither buildx nor a temporary context on disk.
  - The context is the same whatever the umask of the checkout. A failed build shows the end of its real log.
  - One build at a time in a O(scratch) folder. What is present, as another run may have built it meanwhile,
    is not built again.
  - After a build, failed or not, its unshipped stages go, and older images of the same name. An image that a
    container uses, running or not, stays. So do the newest O(keep) superseded ones, for a change of branch.
  - A stage is unshipped if its Dockerfile labels it with C(images.unshipped=${STAGE}). The build argument
    C(STAGE) gets an ending that no other build has. Stages of another build may still be needed, and stay;
    what a killed build left behind goes with the first build an hour later.
options:
  name: {description: Reference of the image., type: str, required: true}
  folder: {description: Build context., type: path, required: true}
  scratch: {description: Folder for the packed context and the lock., type: path, required: true}
  files: {description: "Further files of the context, name with folders to path.", type: dict, default: {}}
  contents: {description: "Further files of the context, name to content.", type: dict, default: {}}
  args: {description: Build arguments., type: dict, default: {}}
  labels: {description: Labels of the image., type: dict, default: {}}
  same: {description: Labels that a present image must have to count., type: dict, default: {}}
  cache: {description: Whether layers of earlier builds may be used., type: bool, default: true}
  keep: {description: How many superseded images stay., type: int, default: 1}
"""

LOG_LINES = 25
# Of another build, on this machine or elsewhere, only what no step can still be waiting for is removed.
ABANDONED = "1h"
LABELS = ("images.unshipped", "images.built")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@contextmanager
def build_lock(scratch: Path) -> Iterator[None]:
    """Hold the lock of the builds that share a folder, so that two of them do not build the same image."""
    path = scratch / "images-build.lock"
    try:
        handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        # Shared by every user of the engine. Where it exists, O_CREAT may fail: sticky folders are protected.
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        os.fchmod(handle, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            Display().display("Images: waiting for a build of another run ...")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


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
    folders = {parent.as_posix() for name in paths for parent in PurePosixPath(name).parents} - {"."}
    with tarfile.open(fileobj=target, mode="w") as context:
        for name in sorted(folders):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            context.addfile(entry)
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
    lines = [line.rstrip() for line in COLOUR.sub("", log).splitlines() if line.strip()]
    shown = [f"  {line}" for line in [*lines[-LOG_LINES:], error]]
    return "\n".join([f"Building {name} failed. The end of its log:", *shown])


def superseded(name: str, images: list[dict[str, Any]], keep: int) -> list[str]:
    """References that a newer build has replaced, without the newest of them."""
    repository = name.rpartition(":")[0]
    found = [
        (image["Created"], reference)
        for image in images
        for reference in image.get("RepoTags") or []
        if reference.rpartition(":")[0] == repository and reference != name
    ]
    return [reference for _, reference in sorted(found, reverse=True)[keep:]]


def remove_unshipped(api: Any, stage: str) -> None:
    """Remove a build's stages, which may hold a password of the package index, and what others abandoned.

    :param stage: the value of the label that this build alone gave to its stages.
    """
    own = {"label": f"images.unshipped={stage}"}
    for filters in (own, *({"label": label, "until": ABANDONED} for label in LABELS)):
        api.prune_images(filters={"dangling": True} | filters)


class ActionModule(LocalAction):
    """See DOCUMENTATION."""

    def act(self, options: dict[str, Any]) -> dict[str, Any]:
        """Build, or say what would be built."""
        if self.dry_run:
            return {"changed": True}
        stage = f"{options['args'].get('STAGE', '')}-{uuid.uuid4().hex}"
        if "STAGE" in options["args"]:
            options = options | {"args": options["args"] | {"STAGE": stage}}
        with build_lock(Path(options["scratch"])):
            try:
                return {"changed": self.build(options)}
            finally:
                self.clean_up(stage)

    def build(self, options: dict[str, Any]) -> bool:
        """Build the image, unless it is there by now."""
        name, log = options["name"], ""
        # Not in memory, nor in /tmp, which may be: a context can hold a whole root file system.
        with tempfile.TemporaryFile(dir=options["scratch"]) as context:
            try:
                with engine.client(timeout=3600) as api:
                    same = {"label": [f"{label}={value}" for label, value in options["same"].items()]}
                    if options["cache"] and api.images(name=name, filters=same):
                        return False
                    replaced = {image["Id"] for image in api.images(name=name)}
                    write_context(context, Path(options["folder"]), options["files"], options["contents"])
                    with progress.step("image", name, "building", "built") as told:
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
                            said = event.get("stream", "")
                            log += said
                            told.detail(said.strip())
                            if "error" in event:
                                raise AnsibleActionFail(failure(name, log, event["error"].strip()))
                    self.remove_superseded(api, name, options["keep"])
                    self.remove_nameless(api, replaced)
            except (engine.EngineError, OSError) as error:
                raise AnsibleActionFail(failure(name, log, str(error))) from error
        return True

    def remove_superseded(self, api: Any, name: str, keep: int) -> None:
        """Remove what this image replaces."""
        images = api.images()
        used = {container["ImageID"] for container in api.containers(all=True)}
        identity = {reference: image["Id"] for image in images for reference in image.get("RepoTags") or []}
        for reference in superseded(name, images, keep):
            if identity[reference] not in used:
                api.remove_image(reference)

    def remove_nameless(self, api: Any, replaced: set[str]) -> None:
        """Remove the image that had this name before, if it has no other and no container uses it."""
        nameless = {image["Id"] for image in api.images(filters={"dangling": True})}
        used = {container["ImageID"] for container in api.containers(all=True)}
        for identity in (replaced & nameless) - used:
            api.remove_image(identity)

    def clean_up(self, stage: str) -> None:
        """Remove what must not stay behind, or say that it does."""
        try:
            with engine.client(timeout=600) as api:
                remove_unshipped(api, stage)
        except engine.EngineError as error:
            Display().warning(f"Stages of the build are left on the engine: {error}")
