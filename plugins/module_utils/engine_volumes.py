"""What a container mounts, and whose its volumes are."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import docker
from ansible_collections.dashtam.stack.plugins.module_utils.quantities import in_bytes
from docker.types import Mount

# Bytes: the entry of a folder, with whatever extends it.
HEAD = 4096


def mounted(declared: Mapping[str, Any]) -> Mount:
    """Return a declared mount as the engine's API takes it."""
    mode = declared.get("tmpfs_mode")
    size = declared.get("tmpfs_size")
    return Mount(
        declared["target"],
        declared.get("source"),
        type=declared["type"],
        read_only=bool(declared.get("read_only")),
        labels=declared.get("labels"),
        tmpfs_size=None if size is None else in_bytes(size),
        tmpfs_mode=None if mode is None else int(str(mode), 8),
    )


def own(api: docker.APIClient, spec: Mapping[str, Any], name: str, labels: Mapping[str, str]) -> None:
    """Give each volume's folder to its ``owner``, where the declaration has one; make missing volumes.

    A volume that the engine makes is root's, and a service that is not root could not write to it. No process
    of root's is needed: a container that never starts has the volumes, and the engine puts folders into it.

    :param name: the name of that container, which is removed afterwards.
    :raises docker.errors.APIError: the engine refuses.
    """
    mounts = [mount for mount in spec["mounts"] if mount.get("owner")]
    if not mounts:
        return
    host = api.create_host_config(network_mode="none", mounts=[mounted(mount) for mount in mounts])
    created = api.create_container(
        spec["image"], command=["true"], name=name, labels=dict(labels), host_config=host
    )["Id"]
    try:
        others = [mount for mount in mounts if _owner(api, created, mount["target"]) != mount["owner"]]
        if others:
            api.put_archive(created, "/", _folders(others))
    finally:
        api.remove_container(created, force=True)


def _owner(api: docker.APIClient, container: str, folder: str) -> str:
    """Return who owns a folder in a container that need not run, as ``uid:gid``."""
    # With all that is in it, of which no more than the beginning is read.
    content, _ = api.get_archive(container, folder, chunk_size=HEAD)
    with tarfile.open(fileobj=io.BytesIO(_head(content)), mode="r:") as archive:
        entry = archive.next()
    return f"{entry.uid}:{entry.gid}" if entry else ""


def _head(chunks: Iterator[bytes]) -> bytes:
    head = b""
    while len(head) < HEAD and (chunk := next(chunks, b"")):
        head += chunk
    return head


def _folders(mounts: Iterable[Mapping[str, Any]]) -> bytes:
    """Return an archive that has nothing but the folders, each its owner's."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as folders:
        for mount in mounts:
            entry = tarfile.TarInfo(str(mount["target"]).strip("/"))
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            entry.uid, entry.gid = map(int, mount["owner"].split(":"))
            folders.addfile(entry)
    return archive.getvalue()
