"""What the engine has: one look, on the controller, in milliseconds."""

from __future__ import annotations

from functools import cache
from typing import Any

import docker
from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from docker.errors import DockerException
from requests.exceptions import RequestException

DOCUMENTATION = """
name: docker_survey
short_description: Containers, networks, volumes and images of the engine, as far as we need them
description:
  - Asks the engine that C(DOCKER_HOST), C(DOCKER_TLS_VERIFY) and C(DOCKER_CERT_PATH) name, else the default
    socket, as the docker client does
    (U(https://docs.docker.com/reference/cli/docker/#environment-variables)).
  - A module call costs 0.7 s whatever it does, this lookup a few hundredths. It changes nothing.
options:
  _terms:
    description: Names of containers to inspect even when they do not carry the label.
    type: list
    elements: str
  label:
    description: Containers that carry this label are inspected too, running or not.
    type: str
    required: true
  images:
    description: Image references whose ids are wanted.
    type: list
    elements: str
    default: []
  environments:
    description:
      - Whether the named containers come with their C(Env), whose values are secrets. Never keep that in a
        fact, hand it on to the filter that takes it away.
    type: bool
    default: false
"""

RETURN = """
_raw:
  description:
    - One dict with C(containers), C(networks), C(volumes) (name to what the engine's inspect says, a
      container's environment left out), C(images) (reference to id; a reference that is absent has no key)
      and C(ports) (published port to container).
    - A named container's C(ImageConfig) is what its image says, null where the engine has it no more.
  type: list
  elements: dict
"""


def survey(
    client: docker.APIClient, label: str, names: list[str], images: list[str], environments: bool = False
) -> dict[str, Any]:
    """Collect what the engine knows; raises docker's own exceptions."""

    @cache
    def image(reference: str) -> dict[str, Any] | None:
        try:
            inspected: dict[str, Any] = client.inspect_image(reference)
        except docker.errors.ImageNotFound:
            return None
        return inspected

    wanted = set(names)
    containers = {}
    ports = {}
    for summary in client.containers(all=True):
        for published in summary["Ports"]:
            if "PublicPort" in published:
                ports[str(published["PublicPort"])] = summary["Names"][0].removeprefix("/")
        own_names = {name.removeprefix("/") for name in summary["Names"]}
        if label in summary["Labels"] or own_names & wanted:
            try:
                found = client.inspect_container(summary["Id"])
            except docker.errors.NotFound:
                continue  # removed between the list and the look
            # The values of a container's variables are secrets, and this is shown at -v by some callbacks.
            if not (environments and own_names & wanted):
                found["Config"].pop("Env", None)
            if own_names & wanted:
                found["ImageConfig"] = (image(found["Image"]) or {}).get("Config")
            containers[found["Name"].removeprefix("/")] = found
    return {
        "containers": containers,
        "networks": {network["Name"]: network for network in client.networks()},
        "volumes": {volume["Name"]: volume for volume in client.volumes()["Volumes"] or []},
        "images": {reference: known["Id"] for reference in images if (known := image(reference))},
        "ports": ports,
    }


class LookupModule(LookupBase):
    """Run the survey, or say in one line why the engine cannot be asked."""

    def run(self, terms: list[str], variables: dict | None = None, **kwargs: Any) -> list[dict[str, Any]]:
        """Return one dict, see RETURN; raises AnsibleLookupError where the engine does not answer."""
        self.set_options(var_options=variables, direct=kwargs)
        names = [name for term in terms for name in ([term] if isinstance(term, str) else term)]
        client = None
        try:
            client = docker.from_env().api
            options = (self.get_option(name) for name in ("images", "environments"))
            return [survey(client, self.get_option("label"), names, *options)]
        except (DockerException, RequestException) as error:
            raise AnsibleLookupError(f"The Docker engine does not answer: {error}") from error
        finally:
            if client is not None:
                client.close()
