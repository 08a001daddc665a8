"""The container of a Python service that runs from mounted source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.dashtam.stack.plugins.module_utils.filter_module import filters
from ansible_collections.dashtam.stack.plugins.module_utils.quantities import in_bytes, shown_size

# debugpy's own default, in the container.
DEBUG_PORT = 5678
DEBUG_FOLDER, DEBUG_SOURCE = "/debug", Path(__file__).resolve().parents[2] / "roles/app/files/debug"
TMP_SIZE = "512M"
SHM_SIZE = "64M"


# By a shell that is there anyway, as curl takes 20 ms of CPU time for it. A server that speaks TLS alone ends
# the connection; one that hangs does neither.
ANSWERS = (
    'exec 3<>"/dev/tcp/127.0.0.1/$0" && '
    r'printf "GET / HTTP/1.0\r\n\r\n" >&3 && '
    "{ read -r -t 3 -n 1 <&3; [ $? -le 128 ]; }"
)


def _answers(port: Any) -> list[str]:
    """Return the command that succeeds if whatever listens on a port answers within 3 s, HTTP or HTTPS."""
    return ["bash", "-c", ANSWERS, str(port)]


def _tmp(memory: Any, size: Any) -> dict[str, Any]:
    """Return where a service writes what need not last; what is in there counts as its memory."""
    limit = in_bytes(memory)
    size = size or (shown_size(limit // 4) if limit else TMP_SIZE)
    return {"type": "tmpfs", "target": "/tmp", "tmpfs_mode": "1777", "tmpfs_size": size}  # noqa: S108


def _debugged(settings: dict[str, Any]) -> tuple[list[str], list[str], list[dict[str, Any]]]:
    """Return what a debugger needs: words before the command, published ports and mounts; none without one.

    Whoever reaches that port can run code in the container, so it is this machine's own, wherever the
    service's is published. By `env`, as the container's environment is for every command that is run in it.
    """
    port = settings.get("debug_port")
    if port is None:
        return [], [], []
    path = ":".join(filter(None, (DEBUG_FOLDER, settings["env"].get("PYTHONPATH"))))
    words = {"PYTHONPATH": path, "DEBUG_PROGRAM": settings["debug_program"], "DEBUG_PORT": DEBUG_PORT}
    return (
        ["env", *(f"{name}={value}" for name, value in words.items())],
        [f"127.0.0.1:{port}:{DEBUG_PORT}"],
        _binds({DEBUG_FOLDER: str(DEBUG_SOURCE)}, True),
    )


def _binds(paths: dict[str, str], read_only: bool) -> list[dict[str, Any]]:
    """Return a mount for each path inside; a fixed order, so that the container does not differ for it."""
    return [
        {"type": "bind", "source": source, "target": target, "read_only": read_only}
        for target, source in sorted(paths.items())
    ]


def _volumes(settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a mount for each named volume; whoever runs the service owns it."""
    return [
        {
            "type": "volume",
            "source": f"{settings['data_prefix']}{name}",
            "target": target,
            "read_only": False,
            "labels": settings["data_labels"],
            "owner": settings["user"],
        }
        for name, target in sorted(settings.get("data", {}).items())
    ]


def _published(settings: dict[str, Any]) -> list[str]:
    """Return the published ports, the one that the service is known by first."""
    main = {} if settings["host_port"] is None else {settings["port"]: settings["host_port"]}
    address = settings["bind_address"]
    return [
        f"{address}:{host}:{inside}"
        for ports in (main, settings.get("more_ports", {}))
        for inside, host in ports.items()
    ]


def python_service(settings: dict[str, Any], images: dict[str, str] | None = None) -> dict[str, Any]:
    """Return the container as the role ``container`` takes it (``container_specs``).

    :param settings: a role's variables without their prefix, except that ``labels`` are all labels. A service
        that never reloads leaves ``reload`` and ``reload_argument`` out, one that is never debugged
        ``debug_port`` and ``debug_program``. What only some services have may be left out, too: ``tmp_size``,
        ``shm_size``, ``more_ports``, and ``data`` with ``data_prefix`` (of the volumes' names) and
        ``data_labels``.
    :param images: what the role ``images`` sets; its ``app`` is the image where the settings have none.
    """
    debug, debug_ports, debug_mounts = _debugged(settings)
    reload = [settings["reload_argument"]] if boolean(settings.get("reload", False), strict=False) else []
    return {
        "name": settings["name"],
        "image": settings["image"] or (images or {}).get("app", ""),
        "command": [*debug, *settings["command"], *reload],
        "user": settings["user"],
        "working_dir": settings["working_dir"],
        "env": settings["env"],
        "labels": settings["labels"],
        "network": settings["network"],
        "aliases": settings["aliases"],
        "published_ports": [*_published(settings), *debug_ports],
        "mounts": [
            _tmp(settings["memory"], settings.get("tmp_size")),
            *_volumes(settings),
            *_binds(settings["source"], boolean(settings["source_read_only"], strict=False)),
            *_binds(settings["files"], True),
            *debug_mounts,
        ],
        "restart_policy": settings["restart_policy"],
        "healthcheck": {
            "test": ["CMD", *(settings["health"] or _answers(settings["port"]))],
            "interval": settings["health_interval"],
            # Together with the interval: a hang is seen within 30 s.
            "timeout": "4s",
            "retries": 2,
            "start_period": f"{settings['ready_timeout']}s",
        },
        "stop_timeout": 10,
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opts": ["no-new-privileges:true"],
        "shm_size": settings.get("shm_size", SHM_SIZE),
        "init": True,
        # From the command line they are texts.
        "memory": settings["memory"],
        "cpus": float(settings["cpus"]),
        "pids_limit": int(settings["pids_limit"]),
        "nofile": int(settings["nofile"]),
        "ready": settings["ready"] or settings["health"] or _answers(settings["port"]),
    }


FilterModule = filters(python_service)
