"""Removes what newer builds have replaced."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

DOCUMENTATION = r"""
module: images_prune
author: Dashtam contributors
short_description: Removes superseded images and the stages that builds left over
description:
  - An image that a container uses, running or not, stays. So do the newest O(keep) superseded ones of each
    repository, so that going back to a branch costs nothing.
options:
  current: {description: References in use now., type: list, elements: str, required: true}
  keep: {description: How many superseded images of each repository stay., type: int, default: 1}
"""


def superseded(repository: str, current: set[str], images: list[dict[str, Any]], keep: int) -> list[str]:
    """References of a repository that may go, newest first spared."""
    found = [
        (image["Created"], tag)
        for image in images
        for tag in image.get("RepoTags") or []
        if tag.rpartition(":")[0] == repository and tag not in current
    ]
    return [tag for _, tag in sorted(found, reverse=True)[keep:]]


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core ships no types
    """See DOCUMENTATION."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Remove, and return what was removed."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, options = self.validate_argument_spec(
            argument_spec={
                "current": {"type": "list", "elements": "str", "required": True},
                "keep": {"type": "int", "default": 1},
            }
        )
        result |= {"changed": False, "removed": []}
        if self._task.check_mode:
            return result

        import docker
        from requests.exceptions import RequestException

        current = set(options["current"])
        try:
            api = docker.from_env().api
            images = api.images()
            used = {container["ImageID"] for container in api.containers(all=True)}
            identity = {tag: image["Id"] for image in images for tag in image.get("RepoTags") or []}
            for repository in sorted({reference.rpartition(":")[0] for reference in current}):
                for reference in superseded(repository, current, images, options["keep"]):
                    if identity[reference] not in used:
                        api.remove_image(reference)
                        result["removed"].append(reference)
            for reference in sorted(current):
                # A stage by its reference: another build's stages may be in use this moment.
                for label in (f"images.unshipped={reference}", f"images.built={reference}"):
                    api.prune_images(filters={"dangling": True, "label": label})
        except (docker.errors.DockerException, RequestException) as error:
            raise AnsibleActionFail(f"Removing superseded images failed: {error}") from error
        result["changed"] = bool(result["removed"])
        return result
