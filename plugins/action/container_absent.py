"""Take away everything that carries given labels, and nothing else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import docker
from ansible_collections.dashtam.stack.plugins.module_utils import engine, lock, progress
from ansible_collections.dashtam.stack.plugins.module_utils.local_action import LocalAction, Problem
from docker.errors import APIError, NotFound

DOCUMENTATION = """
name: container_absent
short_description: Remove containers and networks, and volumes if told to, by their labels
description:
  - All containers are stopped at once, each with its own stop signal and time, and removed with their
    anonymous volumes.
  - One call where the modules need one for each object.
options:
  labels:
    description: Labels that an object must carry, all of them and with these values.
    type: dict
    required: true
  lock:
    description: The labels whose containers one run at a time changes, as for C(container_apply).
    type: dict
    required: true
  volumes:
    description: Whether named volumes go too.
    type: bool
    default: false
  images:
    description: Whether images go too that were made for one of the containers and that no other one uses.
    type: bool
    default: false
  image_label:
    description: The label of a container whose image was made for it.
    type: str
    default: ""
"""

RETURN = """
containers:
  description: Names of the containers that were removed.
  type: list
networks:
  description: Names of the networks that were removed.
  type: list
volumes:
  description: Names of the volumes found; removed if O(volumes).
  type: list
images:
  description: Names of the images that were removed.
  type: list
"""


class ActionModule(LocalAction):
    """Find by labels, stop and remove in parallel."""

    def act(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the module-like result, see RETURN."""
        if not arguments["labels"]:
            raise Problem("labels is empty: that would be everything on this engine")
        filters = {"label": [f"{key}={value}" for key, value in arguments["labels"].items()]}
        with lock.exclusive(arguments["lock"]) as turn, engine.client(timeout=120) as client:
            containers = client.containers(all=True, filters=filters)
            networks = client.networks(filters=filters)
            volumes = client.volumes(filters=filters)["Volumes"] or []
            label = arguments["image_label"] if arguments["images"] else ""
            images = _made_for(client, [each for each in containers if label in (each["Labels"] or {})])
            if not self.dry_run:
                turn.begin()
                _remove(client, containers, networks, volumes if arguments["volumes"] else [])
                for image in images:
                    # A container may have begun to use it, and another run may have removed it.
                    with suppress(APIError):
                        client.remove_image(image)
        found = {
            "containers": sorted(entry["Names"][0].removeprefix("/") for entry in containers),
            "networks": sorted(entry["Name"] for entry in networks),
            "volumes": sorted(entry["Name"] for entry in volumes),
            "images": images,
        }
        changed = bool(containers or networks or (volumes and arguments["volumes"]))
        return found | {"changed": changed}


def _made_for(client: docker.APIClient, containers: list[dict[str, Any]]) -> list[str]:
    """Return the names of the containers' images and of older ones of the same name, without those in use."""
    if not containers:
        return []
    own = {container["Id"] for container in containers}
    used = {each["ImageID"] for each in client.containers(all=True) if each["Id"] not in own}
    repositories = {container["Image"].rpartition(":")[0] for container in containers}
    return sorted(
        name
        for image in client.images(filters={"label": "images.built"})
        if image["Id"] not in used
        for name in image["RepoTags"] or []
        if name.rpartition(":")[0] in repositories
    )


def _remove(
    client: docker.APIClient,
    containers: list[dict[str, Any]],
    networks: list[dict[str, Any]],
    volumes: list[dict[str, Any]],
) -> None:
    def one(container: dict[str, Any]) -> None:
        name = container["Names"][0].removeprefix("/")
        try:
            with progress.step("container", name, "stopping", "removed"):
                client.stop(container["Id"])
                client.remove_container(container["Id"], v=True, force=True)
        except NotFound:
            pass  # somebody else removed it meanwhile: that is what was asked for

    with ThreadPoolExecutor(max_workers=max(len(containers), 1)) as pool:
        list(pool.map(one, containers))
    for network in networks:
        with suppress(NotFound), progress.step("network", network["Name"], "removing", "removed"):
            client.remove_network(network["Id"])
    for volume in volumes:
        with suppress(NotFound), progress.step("volume", volume["Name"], "removing", "removed"):
            client.remove_volume(volume["Name"])
