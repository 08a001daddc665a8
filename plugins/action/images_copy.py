"""Have the same images on several engines, for a Swarm without a registry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import docker
from ansible_collections.dashtam.stack.plugins.module_utils import engine, progress
from ansible_collections.dashtam.stack.plugins.module_utils.local_action import LocalAction, Problem
from docker.errors import ImageNotFound

DOCUMENTATION = """
name: images_copy
short_description: Copy images from the docker client's engine to others, and return their ids
description:
  - A service that names an image by its id runs exactly that one, and no node asks a registry for it. So it
    has to be on all nodes. What is there already is not copied.
options:
  images:
    description: References of images that the docker client's engine has.
    type: list
    elements: str
    required: true
  engines:
    description: Addresses of the other engines, as DOCKER_HOST has them.
    type: list
    elements: str
    default: []
"""

RETURN = """
ids:
  description: Reference to the image's id, for those that are there.
  type: dict
copied:
  description: What was copied, or would be under C(--check), and where to.
  type: list
"""

# Seconds; an image has hundreds of megabytes.
PATIENCE = 600
CHUNK = 2 * 1024 * 1024


def present(api: docker.APIClient, image: str) -> bool:
    """Say whether an engine has the image of this id."""
    try:
        api.inspect_image(image)
    except ImageNotFound:
        return False
    return True


def archive(api: docker.APIClient, references: list[str]) -> Iterator[bytes]:
    """Yield one archive of several images, in which the layers that they share are once.

    By their names, which go with them; the ids stay the same. The SDK asks for one image only.
    """
    url = f"{api.base_url}/v{api.api_version}/images/get"
    with api.get(url, params={"names": references}, stream=True, timeout=PATIENCE) as answer:
        answer.raise_for_status()
        yield from answer.iter_content(CHUNK)


def load(api: docker.APIClient, host: str, images: Iterator[bytes]) -> None:
    """Load an archive. Raises Problem with the reason where the engine cannot, for which it answers with 200.

    Its answer ends once all is loaded.
    """
    for told in api.load_image(images):
        if error := told.get("error"):
            raise Problem(f"{host} cannot load the images: {error.strip()}. Run this again.")


class ActionModule(LocalAction):
    """Copy to one engine at a time."""

    def act(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the module-like result, see RETURN."""
        ids: dict[str, str] = {}
        copied: list[str] = []
        with engine.client(timeout=PATIENCE) as source:
            absent = []
            for reference in dict.fromkeys(arguments["images"]):
                try:
                    ids[reference] = source.inspect_image(reference)["Id"]
                except ImageNotFound:
                    absent.append(f"There is no image {reference} on this engine.")
            if absent:
                return {"failed": True, "msg": "\n".join(absent), "ids": ids, "copied": copied}
            for host in arguments["engines"]:
                copied += [f"{reference} to {host}" for reference in self._copy(source, host, ids)]
        return {"changed": bool(copied), "ids": ids, "copied": copied}

    def _copy(self, source: docker.APIClient, host: str, ids: dict[str, str]) -> list[str]:
        with engine.client(timeout=PATIENCE, host=host) as target:
            missing = [reference for reference, image in ids.items() if not present(target, image)]
            if missing and not self.dry_run:
                with progress.step("images", host, "copying"):
                    load(target, host, archive(source, missing))
                if lost := [reference for reference in missing if not present(target, ids[reference])]:
                    raise Problem(
                        f"{host} has loaded {lost[0]}, but does not know it by its id: all engines must keep "
                        "images in a store of the same kind (docker info, Storage Driver)."
                    )
        return missing
