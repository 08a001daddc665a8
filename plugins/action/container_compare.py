"""Compare declared containers, with their networks and volumes, with what the engine has."""

from __future__ import annotations

from typing import Any

from ansible_collections.dashtam.stack.plugins.filter.container_drift import container_drift
from ansible_collections.dashtam.stack.plugins.filter.container_ports import (
    container_port_clashes,
    port_candidates,
    published_ports,
    with_free_ports,
)
from ansible_collections.dashtam.stack.plugins.filter.containers import (
    added_labels,
    container_states,
    declared_volumes,
    foreign_objects,
    network_states,
)
from ansible_collections.dashtam.stack.plugins.module_utils import engine, host_ports, lock, variable_facts
from ansible_collections.dashtam.stack.plugins.module_utils.local_action import LocalAction, Problem
from ansible_collections.dashtam.stack.plugins.module_utils.quantities import NANOSECONDS
from ansible_collections.dashtam.stack.plugins.module_utils.readiness import look
from ansible_collections.dashtam.stack.plugins.module_utils.survey import survey

DOCUMENTATION = """
name: container_compare
short_description: Say what differs between declared containers and the engine
description:
  - Changes nothing, and calls no module. What it returns as facts holds secrets, the rest does not.
  - Fails where an object bears a declared name and somebody else's labels.
options:
  specs:
    description:
      - The name of the variable that is the list of containers (role C(container), C(container_specs)).
      - A name, because the variable is resolved while the containers that run are asked, which takes as long.
    type: str
    required: true
  declarations:
    description: Facts to set before that, as names of the facts and of the variables that become them.
    type: dict
    default: {}
  networks:
    description: Networks as dicts with C(name), C(internal) and C(labels); the rest need only exist.
    type: list
    elements: dict
    default: []
  labels:
    description: Objects that carry these are part of the answer, declared or not; only they are asked.
    type: dict
    required: true
  identity_labels:
    description: The labels that tell ours from somebody else's.
    type: list
    elements: str
    required: true
  hash_label:
    description: The label that holds a declaration's hash.
    type: str
    required: true
  project:
    description:
      - What docker compose and its like are to show the containers as. C(name), C(working_dir),
        C(config_files) and C(service_label), the label that names the service. An empty name leaves it out.
    type: dict
    required: true
  log:
    description: C(driver) and C(options) that every container has.
    type: dict
    required: true
  probes:
    description:
      - What the action C(container_wait) takes as C(containers). Those that run are asked, so that nobody
        has to wait where nothing differs.
    type: list
    elements: dict
    default: []
  refuse:
    description: Whether somebody else's object is a failure; else it is a state as any other.
    type: bool
    default: true
"""

RETURN = """
states:
  description: See the filter C(container_states).
  type: list
networks:
  description: Declared network to C(missing), C(changed), C(foreign) or C(present).
  type: dict
port_clashes:
  description:
    - Published ports that another program or container holds, see the filter C(port_lines). Empty where no
      container differs.
  type: list
ready:
  description: Whether nothing differs and every container was asked and is ready.
  type: bool
seconds:
  description: Container name to the seconds since its start, of those that were asked and are ready.
  type: dict
turn:
  description: How many changes of these containers were begun before, for C(container_apply).
  type: int
engine:
  description: The engine's identity, where containers differ; for C(container_apply).
  type: str
survey:
  description: What the lookup C(docker_survey) returns, each declared container with its C(Drift).
  type: dict
"""

REFUSAL = """\
The {kind} {name} exists and is not ours: {reason}.
Nothing was touched. Remove it (docker {remove} {name}) or use another instance name."""
REMOVE = {"container": "rm -f", "network": "network rm", "volume": "volume rm"}


def _lacks_processors(spec: dict[str, Any], found: dict[str, Any] | None) -> bool:
    """Say whether a container has fewer processors than declared: the machine may have no more to give."""
    return found is not None and found["HostConfig"]["NanoCpus"] < float(spec["cpus"]) * NANOSECONDS


class ActionModule(LocalAction):
    """Look, compare, refuse what is somebody else's."""

    def act(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the module-like result, see RETURN."""
        probes, labels = arguments["probes"], arguments["labels"]
        if arguments["declarations"] and (refused := variable_facts.refusal()):
            raise Problem(refused)
        with lock.exclusive(labels) as turn:
            number = turn.number  # what a run is still changing is compared when it is done
        with engine.client() as client, look(probes, labels, client.api_version) as ready_seconds:
            facts = {fact: self._resolved(variable) for fact, variable in arguments["declarations"].items()}
            self._templar.available_variables = self._templar.available_variables | facts
            arguments["specs"] = self._resolved(arguments["specs"])
            specs, networks = arguments["specs"], arguments["networks"]
            named = [*specs, *networks, *declared_volumes(specs)]
            names = {entry["name"] for entry in named} | {spec["network"] for spec in specs}
            images = sorted({spec["image"] for spec in specs})
            found = survey(client, names, labels, images=images, environments=True)
            if any(map(_lacks_processors, specs, (found["containers"].get(spec["name"]) for spec in specs))):
                found["processors"] = client.info()["NCPU"]
            compared = self._compare(found, arguments)
            seconds = ready_seconds()
            if compared.get("differing"):
                # For those who will change something; an engine that is only compared need not be asked.
                compared["engine"] = client.info().get("ID") or ""
        ready = set(seconds) == {spec["name"] for spec in specs} and not compared.pop("differing", True)
        answer = {"ready": ready, "seconds": seconds, "turn": number}
        return compared | answer | {"ansible_facts": facts}

    def _resolved(self, variable: str) -> Any:
        return self._templar.resolve_variable_expression(variable)

    def _compare(self, found: dict[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
        specs, networks, hash_label = (arguments[name] for name in ("specs", "networks", "hash_label"))
        about_networks = network_states(specs, networks, found)
        # A network that will be made again is as good as missing to the containers on it.
        kept = {
            name: each for name, each in found["networks"].items() if about_networks.get(name) != "changed"
        }
        added = {spec["name"]: added_labels(spec, hash_label, arguments["project"]) for spec in specs}
        found = container_drift(found | {"networks": kept}, specs, added, hash_label, arguments["log"]) | {
            "networks": found["networks"]
        }
        states = container_states(specs, found, arguments["identity_labels"], hash_label)
        volumes = declared_volumes(specs)
        foreign = foreign_objects(states, about_networks, volumes, found, arguments["identity_labels"])
        if foreign and arguments["refuse"]:
            raise Problem(REFUSAL.format(**foreign[0], remove=REMOVE[foreign[0]["kind"]]))
        differing = any(state["state"] != "running" for state in states)
        clashes = port_clashes(specs, arguments["identity_labels"][0]) if differing else []
        return {
            "states": states,
            "networks": about_networks,
            "port_clashes": clashes,
            "survey": found,
            "differing": differing,
        }


def port_clashes(specs: list[dict[str, Any]], label: str) -> list[dict[str, Any]]:
    """Return the published ports that another program or container holds, each with a free one.

    :param specs: declared containers (role container, ``container_specs``).
    :param label: a label of which each of our containers has a value; empty leaves the engine out.
    :returns: see RETURN.
    """
    # The engine would refuse a port only once the old container has stopped. The host is asked before the
    # engine, so that a port bound in between is seen to be ours.
    bound = [port for address, port in published_ports(specs) if host_ports.taken(address, port)]
    holders = {str(port): holder for port, holder in host_ports.holders(bound).items()}
    found: dict[str, Any] = {"containers": {}, "ports": {}}
    if label:
        with engine.client() as client:
            found = survey(client, {spec["name"] for spec in specs}, {}, label=label)
    clashes = container_port_clashes(specs, found, bound, holders)
    taken = [port for port in port_candidates(clashes) if host_ports.taken("127.0.0.1", port)]
    return with_free_ports(clashes, found, taken)
