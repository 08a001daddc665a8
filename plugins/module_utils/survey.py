"""What an engine has, in one look."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import docker
from ansible_collections.dashtam.stack.plugins.module_utils import health


def carries(labels: Mapping[str, str] | None, wanted: Mapping[str, str]) -> bool:
    """Say whether an object has all of the wanted labels, with their values."""
    return all((labels or {}).get(name) == value for name, value in wanted.items())


def without_environment(found: dict[str, Any]) -> dict[str, Any]:
    """Return what the engine says of a container, without the variables that it or its image has."""
    return found | {
        part: {key: value for key, value in found[part].items() if key != "Env"}
        for part in ("Config", "ImageConfig")
        if found.get(part)
    }


def survey(
    client: docker.APIClient,
    names: set[str],
    labels: Mapping[str, str],
    label: str = "",
    images: list[str] | None = None,
    environments: bool = False,
    looks: bool = False,
    show: bool = False,
    probe: bool = True,
) -> dict[str, Any]:
    """Inspect the objects of these names and those that carry the labels, or the one label with any value.

    :param labels: labels and their values; none of them means no object by its labels.
    :param label: a label's name, for containers alone.
    :param images: references whose ids are wanted.
    :param environments: whether the containers named come with their environment, which holds secrets.
    :param looks: whether each container comes with a ``Look``, see ``health.looks``.
    :param show: whether a look may show passwords.
    :param probe: whether a look asks each health check; otherwise it has what the engine knows.
    :returns: see the lookup ``docker_survey``.
    :raises docker.errors.APIError: the engine refuses.
    """

    @cache
    def image(reference: str) -> dict[str, Any] | None:
        try:
            inspected: dict[str, Any] = client.inspect_image(reference)
        except docker.errors.ImageNotFound:
            return None
        return inspected

    def ours(name: str, found: Mapping[str, str] | None) -> bool:
        return name in names or (bool(labels) and carries(found, labels)) or (label in (found or {}))

    containers = {}
    ports: dict[str, str] = {}
    for summary in client.containers(all=True):
        name = summary["Names"][0].removeprefix("/")
        ports |= {str(each["PublicPort"]): name for each in summary["Ports"] if "PublicPort" in each}
        if not ours(name, summary["Labels"]):
            continue
        try:
            found = client.inspect_container(summary["Id"])
        except docker.errors.NotFound:
            continue  # removed between the list and the look
        if name in names:
            found["ImageConfig"] = (image(found["Image"]) or {}).get("Config")
        containers[name] = found
    if looks:
        found_looks = health.looks(containers, show) if probe else health.last_looks(client, containers)
        for name, look in found_looks.items():
            containers[name]["Look"] = look
    # Some callbacks show variables at -v. An image made by `docker commit` has those of its container.
    for name, found in containers.items():
        if not (environments and name in names):
            containers[name] = without_environment(found)
    networks = {each["Name"]: each for each in client.networks() if ours(each["Name"], each["Labels"])}
    volumes = {
        each["Name"]: each for each in client.volumes()["Volumes"] or [] if ours(each["Name"], each["Labels"])
    }
    known = {reference: image(reference) for reference in images or []}
    return {
        "containers": containers,
        "networks": networks,
        "volumes": volumes,
        "images": {reference: found["Id"] for reference, found in known.items() if found},
        "ports": ports,
    }
