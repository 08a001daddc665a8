"""What the engine has: one look, on the controller, in milliseconds."""

from __future__ import annotations

from typing import Any

from ansible.plugins.lookup import LookupBase
from ansible_collections.dashtam.stack.plugins.module_utils import engine
from ansible_collections.dashtam.stack.plugins.module_utils.survey import survey

DOCUMENTATION = """
name: docker_survey
short_description: Containers, networks, volumes and images of the engine, as far as we need them
description:
  - Asks the engine that the docker client would ask
    (U(https://docs.docker.com/reference/cli/docker/#environment-variables)).
  - It changes nothing. docs/decisions/0002-own-survey.md says why no module does this.
options:
  _terms:
    description: Names of containers, networks and volumes to inspect, whatever labels they carry.
    type: list
    elements: str
  labels:
    description: Objects that carry all of these labels are inspected too, containers running or not.
    type: dict
    default: {}
  label:
    description: Objects that carry a label of this name, with any value, are inspected too.
    type: str
    default: ""
  looks:
    description:
      - Whether each container is asked its health check, and comes with a C(Look), C(health), C(reason) and
        addresses among it (plugins/module_utils/health.py).
    type: bool
    default: false
  show:
    description: Whether addresses in a C(Look) have their passwords.
    type: bool
    default: false
"""

RETURN = """
_raw:
  description:
    - One dict with C(containers), C(networks), C(volumes) (name to what the engine's inspect says, a
      container's environment left out) and C(ports) (published port to the name of the container, of all
      containers).
    - A named container's C(ImageConfig) is what its image says, null where the engine has it no more.
  type: list
  elements: dict
"""


class LookupModule(LookupBase):
    """Run the survey, or say in one line why the engine cannot be asked."""

    def run(
        self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[dict[str, Any]]:
        """Return one dict, see RETURN; raises EngineError where the engine does not answer."""
        self.set_options(var_options=variables, direct=kwargs)
        names = {name for term in terms for name in ([term] if isinstance(term, str) else term)}
        with engine.client() as client:
            options = {name: self.get_option(name) for name in ("labels", "label", "looks", "show")}
            return [survey(client, names, **options)]
