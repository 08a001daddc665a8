"""The Docker engine, what it has of checkouts that are gone, and who holds the ports."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.dashtam.stack.plugins.action.container_compare import port_clashes
from ansible_collections.dashtam.stack.plugins.filter.container_status import container_instances
from ansible_collections.dashtam.stack.plugins.lookup.engine_status import status
from ansible_collections.dashtam.stack.plugins.module_utils import engine
from ansible_collections.dashtam.stack.plugins.module_utils.survey import survey

from doctor import machine
from doctor.declared import Environment
from doctor.findings import FAIL, OK, ROOT, WARN, Finding

LABELS = "dashtam"
# TLS and tokens carry times; on one machine the difference is that of two readings.
CLOCK_EXACT, CLOCK_TOLERABLE = timedelta(seconds=2), timedelta(seconds=30)


def answers() -> Finding:
    """Say whether an engine can be used."""
    defaults = yaml.safe_load((ROOT / "roles/engine/defaults/main.yml").read_text(encoding="utf-8"))
    found = status(defaults["engine_minimum_api"], str(ROOT), probe=False)
    chosen = {"DOCKER_HOST": "unset DOCKER_HOST", "": ""}.get(found["given_by"], "docker context use default")
    if found["state"] == "ok":
        text = f"Docker Engine {found['version']}, API {found['api']}, at {found['url']}"
        return Finding("engine", OK, text)
    text = f"{found['url']}: {found['reason']}"
    remedies = {
        "old": "update Docker Engine to 20.10 or later",
        "remote": f"{chosen or 'unset DOCKER_HOST'} (containers mount this folder, so it must be here)",
        "denied": "sudo usermod -aG docker $(id -un), then log in again",
        "none": f"start it, or {chosen}" if chosen else "make engine",
    }
    return Finding("engine", FAIL, text, remedies[found["state"]])


def clock(said: str, now: datetime) -> Finding:
    """Compare the engine's clock with this machine's.

    :param said: the engine's time, as it says it in ``info`` (RFC 3339).
    """
    difference = abs(datetime.fromisoformat(said) - now)
    text = f"the engine's clock differs from this machine's by {difference.total_seconds():.1f} s"
    if difference <= CLOCK_EXACT:
        return Finding("clock", OK, text)
    remedy = "restart Docker Desktop, or sudo timedatectl set-ntp true"
    return Finding("clock", WARN if difference <= CLOCK_TOLERABLE else FAIL, text, remedy)


def sees_its_folders(data: Path, container: Path = Path("/.dockerenv")) -> bool:
    """Say whether folders of the engine's machine can be looked for here.

    In a container that uses its host's engine, such as a dev container, they are missing without being gone.

    :param data: the engine's own folder, which a container does not see either.
    """
    return data.is_dir() or not container.exists()


def leftovers(found: dict[str, Any], seen: bool = True) -> list[Finding]:
    """Name what belongs to checkouts whose folder is gone.

    :param found: what ``survey`` returned for the label of checkouts.
    """
    gone = [
        each
        for each in container_instances(found, LABELS)
        if each["checkout"] and not Path(each["checkout"]).is_dir()
    ]
    if not gone:
        return [Finding("leftovers", OK, "every environment on this engine belongs to a folder that exists")]
    if not seen:
        folders = ", ".join(sorted({each["checkout"] for each in gone}))
        text = f"there are environments of {folders}: from a container it cannot be seen whether that exists"
        return [Finding("leftovers", OK, text)]
    return [
        Finding(
            "leftovers",
            WARN,
            f"{', '.join(entry['name'] for entry in each['objects'])}: of {each['checkout']}, which is gone",
            f"make clean LIMIT={each['environment'] or 'dev'} INSTANCE={each['instance']} "
            f'ANSIBLE_ARGS="-e dashtam_owner_checkout={shlex.quote(each["checkout"])} -e clean_backup=false" '
            "(gives its data up)",
        )
        for each in gone
    ]


def ports(environment: Environment, reachable: bool) -> list[Finding]:
    """Say who else holds the ports that an environment publishes.

    :param reachable: whether the engine can be asked.
    """
    wanted = ", ".join(port.split(":")[-2] for spec in environment.specs for port in spec["published_ports"])
    name = f"{environment.name} ports"
    clashes = port_clashes(environment.specs, f"{LABELS}.environment" if reachable else "")
    if not clashes:
        return [Finding(name, OK, f"{wanted} are free, or held by {environment.prefix}")] if wanted else []
    return [
        Finding(
            name,
            FAIL,
            f"{clash['port']}, which {clash['spec']} wants, is held by {clash['holder']}",
            f"stop it, or add to {environment.own_file}: {environment.port_line(clash)}",
        )
        for clash in clashes
    ]


def all_findings(environments: list[Environment]) -> list[Finding]:
    """Return what there is to say about the engine and what it has."""
    found = [answers()]
    reachable = found[0].state == OK
    if reachable:
        with engine.client(timeout=20) as client:
            info = client.info()
            found.append(clock(info["SystemTime"], datetime.now(UTC)))
            data = Path(info["DockerRootDir"])
            # In a machine of its own, as on macOS, it is not here.
            if data.is_dir():
                found += machine.disk(data, "engine's disk")
            found += leftovers(survey(client, set(), {}, label=f"{LABELS}.checkout"), sees_its_folders(data))
    for environment in environments:
        found += ports(environment, reachable)
    return found
