"""Declared containers as services of a Docker Swarm."""

from __future__ import annotations

from typing import Any

from ansible_collections.dashtam.stack.plugins.module_utils.container_parts import published
from ansible_collections.dashtam.stack.plugins.module_utils.filter_module import filters
from ansible_collections.dashtam.stack.plugins.module_utils.secrets import masked
from ansible_collections.dashtam.stack.plugins.module_utils.service_parts import (
    all_secrets,
    files,
    secrets,
    source_name,
)

# Before the script of a command `sh -c`: its variables come from the files, and are not exported.
FROM_FILES = (
    'for file in /run/secrets/*; do if [ -f "$file" ]; then '
    'eval "${file##*/}=\\$(cat \\"\\$file\\")"; fi; done\n'
)
CONDITIONS = {"no": "none", "on-failure": "on-failure", "always": "any", "unless-stopped": "any"}


def service_secrets(entries: list[dict[str, Any]], prefix: str) -> list[dict[str, Any]]:
    """Return the secrets that services need, each once: ``name``, and ``data`` or the file ``data_src``.

    A secret is a variable whose name or value says so, or a mounted file. Services share what has one name.

    :param prefix: what all their names begin with.
    """
    return list({secret["name"]: secret for secret in all_secrets(entries, prefix)}.values())


def _secret_files(
    spec: dict[str, Any], prefix: str, versions: dict[str, dict[str, str]]
) -> list[dict[str, Any]]:
    """Return what a service gets as files: those of its user alone, where the user is a number."""
    # Swarm takes numbers only, and the uid of a name is the image's.
    user, _, group = str(spec.get("user") or "0").partition(":")
    owner = {"uid": user, "gid": group or user, "mode": 0o400} if user.isdigit() else {"mode": 0o444}
    wanted = {name: f"{prefix}_{name}" for name in secrets(spec)}
    wanted |= {target: f"{prefix}_{source_name(source)}" for target, source in files(spec).items()}
    return [
        {
            "secret_name": versions[name]["name"],
            "secret_id": versions[name]["id"],
            "filename": target,
            "uid": "0",
            "gid": "0",
        }
        | owner
        for target, name in wanted.items()
    ]


def _mounts(spec: dict[str, Any]) -> list[dict[str, Any]]:
    mounts = []
    for mount in spec["mounts"]:
        if mount["type"] == "tmpfs":
            mounts.append(_tmpfs(mount["target"], mount["tmpfs_size"], mount["tmpfs_mode"]))
        elif mount["type"] == "volume":
            mounts.append(
                {
                    "type": "volume",
                    "source": mount["source"],
                    "target": mount["target"],
                    "readonly": bool(mount.get("read_only", False)),
                    "labels": mount.get("labels", {}),
                }
            )
    # Without one, /dev/shm has the engine's 64M.
    return [*mounts, _tmpfs("/dev/shm", spec["shm_size"], "1777")]  # noqa: S108 - its place in every container


def _tmpfs(target: str, size: Any, mode: Any) -> dict[str, Any]:
    return {"type": "tmpfs", "target": target, "tmpfs_size": str(size), "tmpfs_mode": int(str(mode), 8)}


def _arguments(spec: dict[str, Any]) -> list[str]:
    """Return the command behind the image's entrypoint, which a service's `command` would replace."""
    words = [str(word) for word in spec["command"]]
    if words[:2] == ["sh", "-c"] and secrets(spec):
        words[2] = FROM_FILES + words[2]
    return words


def _updates(order: str) -> dict[str, Any]:
    """Return how a new version comes, and what happens to one that fails: the old one is put back."""
    # Without a delay: the module takes one of 0s for a difference on each run.
    steps = {"parallelism": 1, "max_failure_ratio": 0.0, "order": order}
    return {
        "update_config": steps | {"failure_action": "rollback", "monitor": "5s"},
        "rollback_config": steps | {"failure_action": "pause", "monitor": "5s"},
    }


def _publish(spec: dict[str, Any]) -> list[dict[str, Any]]:
    ports = []
    for _, outside, inside in published(spec):
        port, _, protocol = inside.partition("/")
        ports.append(
            {
                "published_port": outside,
                "target_port": int(port),
                "protocol": protocol,
                # By the node itself: the routing mesh needs IPVS.
                "mode": "host",
            }
        )
    return ports


def _literal(value: str) -> str:
    """Return a value that the engine leaves as it is: in a service's environment it expands templates of Go.

    https://docs.docker.com/reference/cli/docker/service/create/#create-services-using-templates
    """
    return value.replace("{{", '{{"{{"}}')


def _parameters(entry: dict[str, Any], prefix: str, versions: dict[str, dict[str, str]]) -> dict[str, Any]:
    spec, mode = entry["container"], entry.get("mode", "replicated")
    job, image = mode.endswith("-job"), entry.get("image") or spec["image"]
    hidden = secrets(spec)
    parameters: dict[str, Any] = {
        "name": spec["name"],
        "image": image,
        "args": _arguments(spec),
        "user": str(spec.get("user") or ""),
        "working_dir": spec.get("working_dir"),
        "env": {name: _literal(str(value)) for name, value in spec["env"].items() if name not in hidden},
        "secrets": _secret_files(spec, prefix, versions),
        "labels": spec["labels"] | {"image": spec["image"]},
        "container_labels": spec["labels"],
        "networks": [{"name": spec["network"], "aliases": list(spec["aliases"])}],
        "mounts": _mounts(spec),
        # A job is done when it ends; nobody asks it meanwhile.
        "healthcheck": {"test": ["NONE"], "interval": None} if job else spec["healthcheck"],
        "stop_grace_period": f"{spec['stop_timeout']}s",
        "read_only": spec["read_only"],
        "cap_drop": list(spec["cap_drop"]),
        "init": spec["init"],
        "limits": {"memory": spec["memory"], "cpus": float(spec["cpus"])},
        "logging": {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}},
        "placement": {"constraints": list(entry.get("constraints") or [])},
        "mode": mode,
        "restart_config": {"condition": "none"}
        if job
        else {"condition": CONDITIONS[spec["restart_policy"]], "delay": "2s"},
    }
    if mode != "global":
        parameters["replicas"] = int(entry.get("replicas", 1))
    if not job:
        # A virtual address needs IPVS in the kernel, names with one address for each task do not.
        parameters |= {"endpoint_mode": "dnsrr", "publish": _publish(spec)}
        parameters |= _updates(entry.get("order", "stop-first"))
    return parameters


def service_parameters(
    entries: list[dict[str, Any]], prefix: str, versions: dict[str, dict[str, str]]
) -> list[dict[str, Any]]:
    """Return what community.docker's docker_swarm_service takes for each service.

    :param entries: see the filter ``service_faults``, which has found nothing in them.
    :param prefix: what the secrets' names begin with.
    :param versions: secret to ``name`` and ``id`` of the version that counts.
    """
    return [_parameters(entry, prefix, versions) for entry in entries]


def secret_versions(results: list[dict[str, Any]]) -> dict[str, dict[str, str]]:
    """Return secret to ``name`` and ``id`` of its version, from the results of docker_secret in a loop.

    One that is only predicted has no id yet; a service that is compared with it differs, as it then will.
    """
    return {
        result["item"]["name"]: {
            "name": result.get("secret_name") or result["item"]["name"],
            "id": result.get("secret_id") or "to be made",
        }
        for result in results
    }


def service_plan(entries: list[dict[str, Any]], prefix: str, placeholders: list[str]) -> dict[str, Any]:
    """Return what is declared, for people: ``services`` by their name, and ``secrets``, no value among them.

    :param entries: see :func:`service_parameters`.
    :param prefix: what the secrets' names begin with.
    :param placeholders: values that stand for secrets and may be shown.
    """
    needed = service_secrets(entries, prefix)
    versions = {secret["name"]: {"name": secret["name"], "id": ""} for secret in needed}
    services = {}
    for made in service_parameters(entries, prefix, versions):
        files = {one["filename"]: one["secret_name"] for one in made["secrets"]}
        services[made["name"]] = {key: value for key, value in made.items() if key != "name"} | {
            "secrets": files
        }
    shown = {
        secret["name"]: secret.get("data_src")
        or (secret["data"] if secret["data"] in placeholders else masked(secret["name"], secret["data"]))
        for secret in needed
    }
    return {"services": services, "secrets": shown}


def service_lines(found: list[dict[str, Any]]) -> list[str]:
    """Return a line for each service that the lookup ``swarm_services`` found, and why one is not ok."""
    width = max((len(service["name"]) for service in found), default=0)
    lines = []
    for service in found:
        where = f"  on {', '.join(dict.fromkeys(service['nodes']))}" if service["nodes"] else ""
        count = (
            "done"
            if service["mode"] == "job" and service["state"] == "ok"
            else (f"{service['running']}/{service['wanted']}")
        )
        lines.append(f"{service['name']:{width}}  {count:5}  {service['image']}{where}")
        why = service["reason"] and ". ".join(filter(None, (service["reason"], service["last_error"])))
        last = service["update"]["state"] if service["update"] else ""
        if why or last.startswith("rollback"):
            lines.append(f"{'':{width}}  {why or f'the last update was undone ({last})'}")
    return lines


FilterModule = filters(service_secrets, service_parameters, secret_versions, service_lines, service_plan)
