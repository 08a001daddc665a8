"""Turns declared containers into a file for docker compose that brings up the same environment.

A secret is never in the file: it becomes ``${NAME:?...}``, which compose takes from its environment or from
``--env-file``. The rendered env file of the environment has all of them.
"""

from __future__ import annotations

import re
import shlex
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.dashtam.stack.plugins.module_utils.filter_module import filters

# What stands for a secret in a plan.
PLACEHOLDER = re.compile(r"\b(GENERATED|GIVEN)-[A-Z0-9-]+")
# Keys whose value compose knows under another name, and keys that mean the same in both.
RENAMED = {
    "restart_policy": "restart",
    "published_ports": "ports",
    "security_opts": "security_opt",
    "memory": "mem_limit",
}
# Compose has them together, as `ulimits`.
ULIMITS = ("nofile",)
SAME = (
    "image",
    "user",
    "working_dir",
    "healthcheck",
    "read_only",
    "cap_drop",
    "shm_size",
    "pids_limit",
    "init",
)
TRANSLATED = ("name", "command", "env", "labels", "network", "aliases", "mounts", "stop_timeout", "cpus")
# Compose has no question of its own for readiness: it waits for the health check.
UNKNOWN_TO_COMPOSE = ("ready",)
NO_LIMIT = ("0", 0)
CPU_PERIOD = 100_000  # microseconds: the kernel's own, and the engine's
FOLDER = "/etc/databases"
SETUP = """\
# The entrypoint sources this once, while the server listens on its socket only. Passwords come from URLs, in
# which whatever is special to a URL is percent-encoded.
(
    password() {
        url=$(cat "/run/secrets/$1")
        url=${url#*://*:}
        url=${url%@*}
        printf '%b' "${url//%/\\\\x}"
    }
    ASSIGNMENTS
    sh FOLDER/databases.sh "$(cat FOLDER/databases.sql)"
)
"""


def escaped(value: Any) -> Any:
    """Return the value with each ``$`` doubled, nested ones too: compose expands a single one."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, dict):
        return {key: escaped(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [escaped(entry) for entry in value]
    return value


def _environment(env: dict[str, str], hint: str) -> dict[str, str]:
    return {
        name: f"${{{name}:?{hint}}}" if PLACEHOLDER.search(value) else escaped(value)
        for name, value in env.items()
    }


def _mount(mount: dict[str, Any]) -> dict[str, Any]:
    """Return a mount as compose writes it, from one as ``docker_container`` takes it."""
    # Compose labels its volumes itself.
    left = {key: value for key, value in mount.items() if key != "labels"}
    result: dict[str, Any] = {
        key: left.pop(key) for key in ("type", "source", "target", "read_only") if key in left
    }
    tmpfs: dict[str, Any] = {}
    if "tmpfs_size" in left:
        tmpfs["size"] = left.pop("tmpfs_size")
    if "tmpfs_mode" in left:
        tmpfs["mode"] = int(left.pop("tmpfs_mode"), 8)
    if tmpfs:
        result["tmpfs"] = tmpfs
    if result["type"] == "bind":
        # A missing source is an error, as it is with docker_container.
        result["bind"] = {"create_host_path": False}
    if left:
        raise AnsibleFilterError(f"plan_compose cannot translate {', '.join(left)} of a mount yet")
    translated: dict[str, Any] = escaped(result)
    return translated


def _service(spec: dict[str, Any], hint: str, label_prefix: str, logging: dict[str, Any]) -> dict[str, Any]:
    """Return one container as a service, without what it depends on."""
    known = (*RENAMED, *SAME, *TRANSLATED, *ULIMITS, *UNKNOWN_TO_COMPOSE)
    unknown = [key for key in spec if key not in known]
    if unknown:
        raise AnsibleFilterError(f"{spec['name']}: plan_compose cannot translate {', '.join(unknown)} yet")
    service: dict[str, Any] = {"image": spec["image"], "command": escaped(spec["command"])}
    for key in ("user", "working_dir"):
        if key in spec:
            service[key] = spec[key]
    service["environment"] = _environment(spec["env"], hint)
    # With labels of ours, our playbooks would take the containers of compose for their own.
    service["labels"] = {
        name: escaped(value)
        for name, value in spec["labels"].items()
        if not name.startswith(f"{label_prefix}.")
    }
    service["networks"] = {"default": {"aliases": spec["aliases"]}}
    service["volumes"] = [_mount(mount) for mount in spec["mounts"]]
    for key, value in spec.items():
        if key in RENAMED or (key in SAME and key not in service):
            service[RENAMED.get(key, key)] = escaped(value)
    service["stop_grace_period"] = f"{spec['stop_timeout']}s"
    service["logging"] = logging
    for key in ("mem_limit", "pids_limit"):
        if service.get(key) in NO_LIMIT:
            del service[key]
    if "mem_limit" in service:
        service["memswap_limit"] = service["mem_limit"]
    # `cpus` would be refused where the engine has fewer.
    if cpus := float(spec["cpus"]):
        service |= {"cpu_period": CPU_PERIOD, "cpu_quota": int(cpus * CPU_PERIOD)}
    service["ulimits"] = {key: spec[key] for key in ULIMITS if key in spec}
    return {key: value for key, value in service.items() if value not in ([], {})}


def _url_with(specs: list[dict[str, Any]], secret: str) -> str:
    """Return the name of the variable whose value is a URL with that password."""
    for spec in specs:
        for name, value in spec["env"].items():
            if "://" in value and f":{secret}@" in value:
                return str(name)
    raise AnsibleFilterError("no declared URL holds a password that the database needs")


def _add_setup(compose: dict[str, Any], specs: list[dict[str, Any]], setup: dict[str, Any]) -> None:
    """Let the image's entrypoint run what provisioning runs in the server.

    :param compose: the file so far; its service, ``configs`` and ``secrets`` are extended.
    :param setup: ``service``, the text of ``script`` and ``sql``, and their ``environment``.
    """
    urls, assignments = [], []
    for name, value in setup["environment"].items():
        secret = PLACEHOLDER.fullmatch(value)
        if secret:
            urls.append(_url_with(specs, value))
        right = f"$(password {urls[-1]})" if secret else shlex.quote(value)
        assignments.append(f"{name}={right}")
    names = " ".join([*setup["environment"], "APPLY"])
    lines = "\n    ".join([*assignments, "APPLY=true", f"export {names}"])
    files = {
        "databases.sh": (f"{FOLDER}/databases.sh", setup["script"]),
        "databases.sql": (f"{FOLDER}/databases.sql", setup["sql"]),
        "setup.sh": (
            "/docker-entrypoint-initdb.d/setup.sh",
            SETUP.replace("ASSIGNMENTS", lines).replace("FOLDER", FOLDER),
        ),
    }
    urls = list(dict.fromkeys(urls))
    service = compose["services"][setup["service"]]
    service["configs"] = [{"source": name, "target": target} for name, (target, _) in files.items()]
    service["secrets"] = urls
    # Compose copies both into the container, and an engine copies nothing into a read-only root.
    service["read_only"] = False
    compose["configs"] = {name: {"content": escaped(content)} for name, (_, content) in files.items()}
    compose["secrets"] = {name: {"environment": name} for name in urls}


def plan_compose(
    specs: list[dict[str, Any]],
    project: str,
    env_file: str,
    setup: dict[str, Any],
    depends: dict[str, list[str]],
    internal: bool = False,
    label_prefix: str = "container",
    logging: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the content of a compose file for declared containers.

    :param specs: declared containers (role container, ``container_specs``), placeholders in place of secrets.
        The label ``<label_prefix>.service`` names the service.
    :param project: the compose project, which begins the names of all that compose makes.
    :param env_file: the file with the secrets, for the message that a missing one gives.
    :param setup: what runs once in the database server, see :func:`_add_setup`.
    :param depends: service to those that must be healthy before it starts.
    :param internal: whether the network has no route out.
    :param label_prefix: prefix of the labels that identify our objects; such labels are left out.
    :param logging: ``driver`` and ``options`` of every container's log.
    :raises AnsibleFilterError: a key has no translation.
    """
    hint = f"set it, or run docker compose with --env-file {env_file}"
    services: dict[str, Any] = {}
    for spec in specs:
        service = _service(spec, hint, label_prefix, logging or {})
        name = spec["labels"][f"{label_prefix}.service"]
        if name in depends:
            service["depends_on"] = {other: {"condition": "service_healthy"} for other in depends[name]}
        services[name] = service
    volumes = [mount["source"] for spec in specs for mount in spec["mounts"] if mount["type"] == "volume"]
    compose: dict[str, Any] = {"name": project, "services": services}
    compose["networks"] = {"default": {"internal": internal}}
    if volumes:
        compose["volumes"] = {name: {} for name in volumes}
    _add_setup(compose, specs, setup)
    return compose


def compose_octal(text: str) -> str:
    """Return YAML with the modes of mounts as octal numbers, which people read."""
    return re.sub(r"(?<=\bmode: )\d+", lambda found: f"0{int(found[0]):o}", text)


FilterModule = filters(plan_compose, compose_octal)
